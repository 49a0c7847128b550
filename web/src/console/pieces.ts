// A message's text cut where the words that were read begin and end; spans count Unicode code points.
import type { Reading, Span } from '$lib/types';

export interface Piece {
  text: string;
  /** Which figures came from these words: `"<item>.<value>"`. */
  keys: string[];
  wrong: boolean;
}

export function valueKey(item: number, value: number): string {
  return `${item}.${value}`;
}

interface Mark {
  span: Span;
  key: string | null;
}

export function pieces(text: string, reading: Reading | null): Piece[] {
  const signs = Array.from(text);
  const marks: Mark[] = [];
  for (const [at, item] of (reading?.items ?? []).entries()) {
    for (const [place, value] of item.values.entries()) {
      if (value.span) marks.push({ span: value.span, key: valueKey(at, place) });
    }
  }
  for (const error of reading?.errors ?? []) if (error.span) marks.push({ span: error.span, key: null });
  const cuts = new Set([0, signs.length]);
  for (const { span } of marks) for (const edge of span) if (edge > 0 && edge < signs.length) cuts.add(edge);
  const edges = [...cuts].sort((a, b) => a - b);
  return edges.slice(0, -1).map((start, place) => {
    const end = edges[place + 1]!;
    const over = marks.filter(({ span }) => span[0] <= start && span[1] >= end);
    return {
      text: signs.slice(start, end).join(''),
      keys: over.flatMap(({ key }) => (key === null ? [] : [key])),
      wrong: over.some(({ key }) => key === null),
    };
  });
}

/** The words of a text with the found spans marked, for search results; long texts begin near the first mark. */
export function marked(text: string, marks: readonly Span[], room = 80): { text: string; hit: boolean }[] {
  const signs = Array.from(text.replaceAll('\n', ' '));
  const first = marks[0]?.[0] ?? 0;
  const from = first > room / 2 ? first - Math.floor(room / 4) : 0;
  const parts: { text: string; hit: boolean }[] = [];
  let at = from;
  const add = (start: number, end: number, hit: boolean): void => {
    if (end > start) parts.push({ text: signs.slice(start, end).join(''), hit });
  };
  for (const [start, end] of marks) {
    if (start < at) continue;
    add(at, start, false);
    add(start, end, true);
    at = end;
  }
  add(at, Math.min(signs.length, from + room * 2), false);
  if (from > 0 && parts[0]) parts[0].text = `…${parts[0].text}`;
  return parts;
}

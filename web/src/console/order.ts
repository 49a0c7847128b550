// The order of the conversations list and which rows stay put while somebody points at them.
import type { Row, View } from '$lib/types';

const LAST = '\uffff';

/** All and resolved: newest first. Others: what is due first, then who has waited longest. */
export function compare(view: View): (a: Row, b: Row) => number {
  if (view === 'all' || view === 'resolved') return (a, b) => b.last_seq - a.last_seq;
  // The server pages in the same order, to the last key: what loads by scrolling goes to the end.
  return (a, b) =>
    order(a.due_at, b.due_at) ||
    order(a.waiting_since ?? a.last_at, b.waiting_since ?? b.last_at) ||
    order(a.party, b.party);
}

function order(a: string | null, b: string | null): number {
  const left = a ?? LAST;
  const right = b ?? LAST;
  return left < right ? -1 : left > right ? 1 : 0;
}

/**
 * The next or previous conversation for somebody who walks through the list. An answered conversation sinks or
 * leaves while it is open: then its neighbours are those around the gap it left at `stood`.
 */
export function neighbour(rows: readonly Row[], party: string | null, stood: number, step: 1 | -1): Row | null {
  const at = rows.findIndex((row) => row.party === party);
  if (at < 0 && stood < 0) return rows[0] ?? null;
  if (stood < 0 || at === stood) return rows[at + step] ?? null;
  const closedUp = at < 0 || at > stood;
  const place = closedUp ? (step > 0 ? stood : stood - 1) : step > 0 ? stood + 1 : stood;
  return rows[place] ?? null;
}

export interface Arranged {
  rows: Row[];
  /** Conversations that are not in the frozen list yet. */
  fresh: number;
}

/**
 * Frozen: the parties stay where they are with their newest content, also those that left the view;
 * the ones that came in are only counted. Not frozen: sorted anew.
 */
export function arrange(rows: ReadonlyMap<string, Row>, before: readonly Row[], view: View, frozen: boolean): Arranged {
  if (!frozen) return { rows: [...rows.values()].sort(compare(view)), fresh: 0 };
  const shown = new Set(before.map((row) => row.party));
  let fresh = 0;
  for (const party of rows.keys()) if (!shown.has(party)) fresh += 1;
  return { rows: before.map((row) => rows.get(row.party) ?? row), fresh };
}

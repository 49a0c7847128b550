// Rules of the console that need no page: order, freezing, words of a reading, merging, later times.
import { describe, expect, test } from 'vitest';
import { merge } from '../src/console/conversation.svelte';
import { laterTimes } from '../src/console/later';
import { arrange, compare, neighbour } from '../src/console/order';
import { marked, pieces } from '../src/console/pieces';
import type { Line, Reading, Row } from '../src/lib/types';

const row = (party: string, fields: Partial<Row> = {}): Row =>
  ({
    party,
    last_seq: 1,
    last_at: '2026-11-22T09:00:00Z',
    due_at: null,
    waiting_since: null,
    snoozed_until: null,
    version: 1,
    ...fields,
  }) as Row;
const known = (...rows: Row[]): Map<string, Row> => new Map(rows.map((one) => [one.party, one]));
const names = (rows: readonly Row[]): string[] => rows.map((one) => one.party);

describe('the order of the list', () => {
  test('what is due first stands first, then who has waited longest', () => {
    const rows = [
      row('later', { due_at: '2026-11-22T12:00:00Z' }),
      row('waits', { waiting_since: '2026-11-22T08:00:00Z' }),
      row('quiet', { last_seq: 99 }),
      row('overdue', { due_at: '2026-11-22T01:00:00Z' }),
      row('waits longer', { waiting_since: '2026-11-22T07:00:00Z' }),
    ];
    expect(names(rows.sort(compare('open')))).toEqual(['overdue', 'later', 'waits longer', 'waits', 'quiet']);
  });

  test('the view of all shows the newest first', () => {
    expect(names([row('old', { last_seq: 1 }), row('new', { last_seq: 2 })].sort(compare('all')))).toEqual([
      'new',
      'old',
    ]);
  });
});

describe('a list somebody points at', () => {
  const before = [row('a', { last_seq: 3 }), row('b', { last_seq: 2 })];

  test('keeps its rows in place and shows their newest content', () => {
    const now = known(row('b', { last_seq: 9, preview: 'new words' }), row('a', { last_seq: 3 }));
    const { rows } = arrange(now, before, 'all', true);
    expect(names(rows)).toEqual(['a', 'b']);
    expect(rows[1]?.preview).toBe('new words');
  });

  test('counts what came in instead of showing it', () => {
    expect(arrange(known(...before, row('c'), row('d')), before, 'all', true).fresh).toBe(2);
  });

  test('keeps a row that has left the view until the pointer goes', () => {
    expect(names(arrange(known(before[0]!), before, 'all', true).rows)).toEqual(['a', 'b']);
    expect(names(arrange(known(before[0]!), before, 'all', false).rows)).toEqual(['a']);
  });
});

describe('walking through the list', () => {
  const rows = (...parties: string[]): Row[] => parties.map((party) => row(party));

  test.each([
    ['stays where it was', rows('a', 'b', 'c', 'd'), 'c', 'a'],
    ['sank to the end after an answer', rows('a', 'c', 'd', 'b'), 'c', 'a'],
    ['rose to the top', rows('b', 'a', 'c', 'd'), 'c', 'a'],
    ['left the view', rows('a', 'c', 'd'), 'c', 'a'],
  ])('goes on from the gap when the open conversation %s', (_, now, next, before) => {
    expect(neighbour(now, 'b', 1, 1)?.party).toBe(next);
    expect(neighbour(now, 'b', 1, -1)?.party).toBe(before);
  });

  test('begins with the first when none is open', () => {
    expect(neighbour(rows('a', 'b'), null, -1, 1)?.party).toBe('a');
  });
});

describe('the words a figure came from', () => {
  const value = (span: [number, number]): Reading['items'][number]['values'][number] => ({
    field: 'stock',
    title: '',
    value: 1,
    display: '1',
    span,
    state: 'accepted',
    warn: null,
    warn_label: null,
  });
  const reading = (items: [number, number][], errors: [number, number][] = []): Reading =>
    ({
      items: items.map((span) => ({ sku: '', name: '', matched_by: '', values: [value(span)] })),
      errors: errors.map((span) => ({ code: '', label: '', token: '', span })),
    }) as unknown as Reading;

  test('are found by code points, not by UTF-16 units', () => {
    const found = pieces('👍👍白云渡 3条', reading([[6, 8]]));
    expect(found.map((piece) => [piece.text, piece.keys])).toEqual([
      ['👍👍白云渡 ', []],
      ['3条', ['0.0']],
    ]);
  });

  test('may overlap and stay whole', () => {
    const found = pieces(
      'abcdef',
      reading([
        [0, 4],
        [2, 6],
      ]),
    );
    expect(found.map((piece) => [piece.text, piece.keys])).toEqual([
      ['ab', ['0.0']],
      ['cd', ['0.0', '1.0']],
      ['ef', ['1.0']],
    ]);
  });

  test('that were not understood are marked as such', () => {
    expect(pieces('KC 998', reading([], [[3, 6]])).map((piece) => piece.wrong)).toEqual([false, true]);
  });

  test('join to the text again whatever the spans say', () => {
    const text = '库存 楚岚硬三条,楚岚软十五';
    for (const spans of [[[0, 99]], [[-3, 2]], [[5, 5]], [[9, 3]]] as [number, number][][]) {
      expect(
        pieces(text, reading(spans))
          .map((piece) => piece.text)
          .join(''),
      ).toBe(text);
    }
  });
});

test('a search result begins near its first mark', () => {
  const long = `${'无'.repeat(100)}断货两天`;
  const parts = marked(long, [[100, 102]]);
  expect(parts.find((part) => part.hit)?.text).toBe('断货');
  expect(parts[0]?.text.startsWith('…')).toBe(true);
});

test('a line that comes again replaces itself and the order is that of the log', () => {
  const line = (seq: number, text: string): Line => ({ id: `id-${seq}`, seq, text }) as Line;
  const lines = merge([line(1, 'one'), line(3, 'three')], [line(2, 'two'), line(3, 'three, delivered')]);
  expect(lines.map((one) => one.text)).toEqual(['one', 'two', 'three, delivered']);
});

test.each([
  ['a Sunday', new Date(2026, 10, 22, 15), ['hours', 'tomorrow', 'week']],
  ['a Monday', new Date(2026, 10, 23, 15), ['hours', 'tomorrow', 'monday']],
  ['a Wednesday', new Date(2026, 10, 25, 15), ['hours', 'tomorrow', 'monday', 'week']],
])('on %s no two choices to snooze mean the same time', (_, now, keys) => {
  expect(laterTimes(now).map((one) => one.key)).toEqual(keys);
});

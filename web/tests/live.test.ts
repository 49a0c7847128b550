// Live frames merge as the pages expect, retries spread out, keys are named once.
import { describe, expect, test } from 'vitest';
import { coalesce } from '../src/lib/coalesce';
import { chord } from '../src/lib/keys';
import type { Frame, Line, Row } from '../src/lib/types';

const row = (party: string, version: number): Row => ({ party, version }) as Row;
const line = (seq: number): Line => ({ seq }) as Line;

describe('frames of one flush', () => {
  test('keep only the newest row of a party', () => {
    const merged = coalesce([
      { head: 1, rows: [row('a', 1), row('b', 1)] },
      { head: 2, rows: [row('a', 2)] },
    ]);
    expect(merged.rows).toEqual([row('a', 2), row('b', 1)]);
    expect(merged.head).toBe(2);
  });

  test('keep every timeline line', () => {
    expect(
      coalesce([
        { head: 1, lines: [line(1)] },
        { head: 2, lines: [line(2)] },
      ]).lines,
    ).toHaveLength(2);
  });

  test('let the last word win between shown and gone', () => {
    const left = coalesce([
      { head: 1, rows: [row('a', 1)] },
      { head: 2, gone: ['a'] },
    ]);
    expect([left.rows, left.gone]).toEqual([undefined, ['a']]);
    const back = coalesce([
      { head: 1, gone: ['a'] },
      { head: 2, rows: [row('a', 2)] },
    ]);
    expect([back.rows, back.gone]).toEqual([[row('a', 2)], undefined]);
  });

  test('keep the counts of everybody and of oneself', () => {
    const counts = { views: { open: 3 }, queues: {} };
    const merged = coalesce([{ head: 1, counts }, { head: 1, mine: 2 }, { head: 2 }]);
    expect([merged.counts, merged.mine]).toEqual([counts, 2]);
  });

  test('remember that a reload was asked for', () => {
    expect(coalesce([{ head: 1, reload: true }, { head: 2 } as Frame]).reload).toBe(true);
  });
});

test.each([
  [{ key: 'E', shiftKey: true }, 'shift+e'],
  [{ key: '?', shiftKey: true }, '?'],
  [{ key: 'k', metaKey: true }, 'ctrl+k'],
  [{ key: 'Enter', ctrlKey: true }, 'ctrl+enter'],
])('the key %j is named %s', (event, name) => {
  expect(chord({ ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, ...event })).toBe(name);
});

// The rules of the collection desk, as tables.
import { describe, expect, it } from 'vitest';
import { changed, columnsOf, coverage, cut, moved, readInput, stateOf, type Cell, type ShopRow } from '../src/collection/figures';

const held: Cell = { value: 1580, display: '158条', state: 'held', warn: 'W_RANGE', observation: 'o1' };
const good: Cell = { value: 30, display: '3条', state: 'accepted', warn: null, observation: 'o2' };
const row = (cells: ShopRow['cells']): ShopRow => ({
  party: 'p',
  name: '顺发便民店',
  licence: null,
  territory: null,
  state: 'missing',
  received_at: null,
  late: false,
  cells,
  expects: ['101', '102'],
});
const change = { party: 'p', form: 'f', period: '2026-W47', sku: '101', field: 'stock', value: 40, display: '4条', seq: 9 };

describe('the state of a shop', () => {
  it.each([
    ['missing', {}],
    ['partial', { '101': { stock: good } }],
    ['received', { '101': { stock: good }, '102': { stock: good } }],
    ['suspect', { '101': { stock: good }, '102': { stock: held } }],
    ['missing', { '101': { stock: undefined } }],
  ] as const)('is %s when its figures say so', (state, cells) => {
    expect(stateOf(row(cells))).toBe(state);
  });

  it('follows a live change and leaves the old row alone', () => {
    const before = row({ '102': { stock: good } });
    const after = changed(before, { ...change, state: 'accepted' }, '2026-11-22T08:00:00Z');
    expect(after.state).toBe('received');
    expect(after.received_at).toBe('2026-11-22T08:00:00Z');
    expect(before.cells['101']).toBeUndefined();
  });

  it('loses a figure that was rejected', () => {
    const after = changed(row({ '101': { stock: held } }), { ...change, state: 'rejected' }, 'now');
    expect(after.state).toBe('missing');
  });
});

describe('moving in the grid', () => {
  it.each([
    ['ArrowDown', false, { row: 6, column: 3 }],
    ['ArrowLeft', false, { row: 5, column: 2 }],
    ['PageDown', false, { row: 9, column: 3 }],
    ['PageUp', false, { row: 0, column: 3 }],
    ['Home', false, { row: 5, column: 0 }],
    ['End', true, { row: 9, column: 3 }],
  ])('%s stays inside', (key, ctrl, to) => {
    expect(moved({ row: 5, column: 3 }, key, ctrl, 10, 4, 20)).toEqual(to);
  });

  it('does not take other keys', () => {
    expect(moved({ row: 0, column: 0 }, 'Tab', false, 10, 4, 20)).toBeNull();
  });
});

describe('the words a figure came from', () => {
  it('are counted in code points, so a rare character before them moves nothing', () => {
    expect(cut('𠮷店 KC 101 3', [3, 11])).toEqual(['𠮷店 ', 'KC 101 3', '']);
  });
  it('are the whole text when nobody knows', () => {
    expect(cut('KC 101 3', null)).toEqual(['KC 101 3', '', '']);
  });
});

describe('a typed correction', () => {
  it.each([
    [' 12 ', { input: '12' }],
    ['１２．５', { input: '12.5' }],
    ['', { problem: 'empty' }],
    ['-3', { problem: 'negative' }],
    ['− 3', { problem: 'negative' }],
    ['12条5盒', { input: '12条5盒' }],
    ['断货', { input: '断货' }],
  ])('%j is read as it should be', (typed, read) => {
    expect(readInput(typed)).toEqual(read);
  });
});

it('columns of every field carry the product name once', () => {
  const product = { sku: '101', name: '楚岚(硬)', short: '101', own: true };
  const fields = [
    { id: 'stock', title: '库存', type: 'quantity', unit: '条' },
    { id: 'price', title: '零售价', type: 'money', unit: '元/盒' },
  ];
  expect(columnsOf([product], fields, 'all').map((column) => column.first)).toEqual([true, false]);
  expect(columnsOf([product], fields, 'price').map((column) => column.field.id)).toEqual(['price']);
});

it('coverage counts suspect shops as reported and never rounds up to all', () => {
  expect(coverage({ expected: 300, received: 273, suspect: 26, missing: 1 })).toBe(99);
  expect(coverage({ expected: 0, received: 0, suspect: 0, missing: 0 })).toBe(0);
});

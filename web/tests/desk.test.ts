// The collection desk follows the live log without losing, doubling or moving anything.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Frame, FigureChange } from '../src/lib/types';

const wire = vi.hoisted(() => ({ listeners: new Set<(frame: Frame) => void>() }));
vi.mock('../src/lib/live.svelte', () => ({
  live: {
    on: (listener: (frame: Frame) => void) => {
      wire.listeners.add(listener);
      return () => wire.listeners.delete(listener);
    },
    watch: () => {},
  },
}));
const { Desk } = await import('../src/collection/desk.svelte');

const say = (frame: Frame): void => wire.listeners.forEach((listener) => listener(frame));
const shop = (party: string) => ({
  party,
  name: party,
  licence: null,
  territory: null,
  state: 'missing',
  received_at: null,
  late: false,
  cells: {},
  expects: ['101'],
});
const page = (parties: string[], more: object = {}) => ({
  form: 'weekly',
  period: '2026-W47',
  periods: [{ key: '2026-W47', title: '47' }],
  fields: [{ id: 'stock', title: 'Stock', type: 'quantity', unit: '条' }],
  products: [{ sku: '101', name: '楚岚(硬)', short: '101', own: true }],
  totals: { expected: parties.length, received: 0, suspect: 0, missing: parties.length },
  rows: parties.map(shop),
  next: null,
  head: 10,
  ...more,
});
const change = (part: Partial<FigureChange> = {}): FigureChange => ({
  party: 'b',
  form: 'weekly',
  period: '2026-W47',
  sku: '101',
  field: 'stock',
  value: 30,
  display: '3条',
  state: 'accepted',
  seq: 11,
  ...part,
});
const answer = (body: unknown, status = 200) => new Response(JSON.stringify(body), { status });

const fetched = vi.fn<(url: string, init?: RequestInit) => Promise<Response>>();
const wentTo = () => fetched.mock.calls.map(([url]) => new URL(url, 'http://here'));

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('fetch', fetched);
});
afterEach(() => {
  fetched.mockReset();
  wire.listeners.clear();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function opened(parties: string[]) {
  fetched.mockImplementation(async () => answer(page(parties)));
  const desk = new Desk('weekly', '2026-W47');
  const close = desk.open();
  await vi.advanceTimersByTimeAsync(0);
  return { desk, close };
}

test('a live figure lands in its shop, and no shop changes its place', async () => {
  const { desk } = await opened(['a', 'b', 'c']);
  say({ head: 11, figures: [change()] });
  expect(desk.rows.map((row) => [row.party, row.state])).toEqual([
    ['a', 'missing'],
    ['b', 'received'],
    ['c', 'missing'],
  ]);
  expect(desk.touched).toHaveLength(1);
});

test('figures of another period or form are left alone', async () => {
  const { desk } = await opened(['b']);
  say({ head: 12, figures: [change({ period: '2026-W46' }), change({ form: 'other' })] });
  expect(desk.rows[0]?.state).toBe('missing');
  expect(desk.touched).toHaveLength(0);
});

test('what the socket says while an answer is on its way is not overwritten by that answer', async () => {
  const { desk } = await opened(['b']);
  let give: (response: Response) => void = () => {};
  fetched.mockImplementationOnce(() => new Promise((resolve) => (give = resolve)));
  void desk.load();
  say({ head: 11, figures: [change({ seq: 11 })] });
  give(answer(page(['b'], { head: 10 })));
  await vi.advanceTimersByTimeAsync(0);
  expect(desk.rows[0]?.cells['101']?.['stock']?.display).toBe('3条');
});

test('many changes ask for the totals once', async () => {
  const { desk } = await opened(['a', 'b']);
  fetched.mockClear();
  say({ head: 11, figures: [change()] });
  say({ head: 12, figures: [change({ party: 'a' })] });
  fetched.mockImplementation(async () => answer(page([], { totals: { expected: 2, received: 2, suspect: 0, missing: 0 } })));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(wentTo()).toHaveLength(1);
  expect(desk.totals?.received).toBe(2);
  expect(desk.rows).toHaveLength(2);
});

test('typing in the search asks once, with the last words', async () => {
  const { desk } = await opened(['a']);
  fetched.mockClear();
  desk.choose({ q: '顺' });
  desk.choose({ q: '顺发' });
  await vi.advanceTimersByTimeAsync(300);
  expect(wentTo().map((url) => url.searchParams.get('q'))).toEqual(['顺发']);
});

test('a further page adds only the shops that are not there yet', async () => {
  fetched.mockImplementationOnce(async () => answer(page(['a', 'b'], { next: '2' })));
  const desk = new Desk('weekly', '2026-W47');
  desk.open();
  await vi.advanceTimersByTimeAsync(0);
  fetched.mockImplementationOnce(async () => answer(page(['b', 'c'])));
  await desk.more();
  expect(desk.rows.map((row) => row.party)).toEqual(['a', 'b', 'c']);
  expect(desk.place('c')).toBe(2);
});

test('a reload that fails leaves what is shown', async () => {
  const { desk } = await opened(['a']);
  fetched.mockImplementation(async () => answer({ error: { code: 'away', message: 'away' } }, 503));
  say({ head: 20, reload: true });
  await vi.advanceTimersByTimeAsync(0);
  expect([desk.status, desk.rows.length]).toEqual(['ready', 1]);
});

test('other filters that fail show the failure and not the old rows', async () => {
  const { desk } = await opened(['a']);
  fetched.mockImplementation(async () => answer({ error: { code: 'away', message: 'away' } }, 503));
  desk.choose({ state: 'suspect' });
  await vi.advanceTimersByTimeAsync(0);
  expect([desk.status, desk.rows.length]).toEqual(['failed', 0]);
});

test('a decision names the figure, its observation and an act id of its own', async () => {
  const { desk } = await opened(['a']);
  fetched.mockImplementation(async () => answer({ seq: 30 }));
  await desk.decide({ party: 'a', sku: '101', field: 'stock' }, 'correct', '9.0', { input: '12' }, 'act-1');
  expect(JSON.parse(String(fetched.mock.lastCall?.[1]?.body))).toEqual({
    act_id: 'act-1',
    party: 'a',
    form: 'weekly',
    period: '2026-W47',
    sku: '101',
    field: 'stock',
    verb: 'correct',
    observation: '9.0',
    input: '12',
  });
});

test('a closed desk hears nothing more', async () => {
  const { close } = await opened(['a']);
  close();
  expect(wire.listeners.size).toBe(0);
});

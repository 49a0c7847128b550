// The simulated phone shows each message once, whichever way it is heard of first.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Frame, PhoneMessage } from '../src/lib/types';

const wire = vi.hoisted(() => ({ listeners: new Set<(frame: Frame) => void>(), watched: [] as unknown[] }));
vi.mock('../src/lib/live.svelte', () => ({
  live: {
    on: (listener: (frame: Frame) => void) => {
      wire.listeners.add(listener);
      return () => wire.listeners.delete(listener);
    },
    state: 'online',
    watch: (part: unknown) => wire.watched.push(part),
  },
}));
const { Handset } = await import('../src/phone/handset.svelte');

const NUMBER = '+8613900000001';
const shop = { number: NUMBER, name: '顺发便民店', party: 'a', kind: 'retailer', hint: null };
const message = (part: Partial<PhoneMessage>): PhoneMessage => ({
  id: 'm',
  number: NUMBER,
  direction: 'received',
  text: '已收',
  at: '2026-11-22T08:00:00Z',
  state: 'delivered',
  ...part,
});
const say = (...phone: PhoneMessage[]): void => wire.listeners.forEach((listener) => listener({ head: 1, phone }));
const answer = (body: unknown, status = 200) => new Response(JSON.stringify(body), { status });
const fetched = vi.fn<(url: string, init?: RequestInit) => Promise<Response>>();

beforeEach(() => {
  vi.stubGlobal('fetch', fetched);
});
afterEach(() => {
  fetched.mockReset();
  wire.listeners.clear();
  wire.watched.length = 0;
  vi.unstubAllGlobals();
});

async function inHand(messages: PhoneMessage[] = []) {
  fetched.mockImplementationOnce(async () => answer({ messages }));
  const handset = new Handset();
  handset.open();
  await handset.pick(shop);
  return handset;
}

test('a phone taken in hand is watched, and its thread is loaded', async () => {
  const handset = await inHand([message({ id: 'm1' })]);
  expect(wire.watched).toEqual([{ phone: NUMBER }]);
  expect(handset.messages.map((each) => each.id)).toEqual(['m1']);
});

test('a message is shown while it is sent, and confirmed', async () => {
  const handset = await inHand();
  let give: (response: Response) => void = () => {};
  fetched.mockImplementationOnce(() => new Promise((resolve) => (give = resolve)));
  const sent = handset.send('KC 101 3', 'mine');
  expect(handset.messages.map((each) => each.state)).toEqual(['sending']);
  give(answer({ id: 'mine' }));
  await sent;
  expect(handset.messages.map((each) => [each.id, each.state])).toEqual([['mine', 'sent']]);
});

test('the socket may name the message before the answer does', async () => {
  const handset = await inHand();
  let give: (response: Response) => void = () => {};
  fetched.mockImplementationOnce(() => new Promise((resolve) => (give = resolve)));
  const sent = handset.send('KC 101 3', 'mine');
  say(message({ id: 'theirs', direction: 'sent', text: 'KC 101 3', state: 'sent' }));
  give(answer({ id: 'theirs' }));
  await sent;
  expect(handset.messages.map((each) => each.id)).toEqual(['theirs']);
});

test('the answer may name the message before the socket does', async () => {
  const handset = await inHand();
  fetched.mockImplementationOnce(async () => answer({ id: 'theirs' }));
  await handset.send('KC 101 3', 'mine');
  say(message({ id: 'theirs', direction: 'sent', text: 'KC 101 3', state: 'sent' }));
  expect(handset.messages.map((each) => each.id)).toEqual(['theirs']);
});

test('the log may know the message by another id than ours', async () => {
  const handset = await inHand();
  fetched.mockImplementation(async (_, init) => answer({ id: JSON.parse(String(init?.body)).id }));
  await handset.send('KC 101 3', 'mine');
  await handset.send('KC 101 3 ', 'mine too');
  say(message({ id: 'log-1', direction: 'sent', text: 'KC 101 3' }));
  expect(handset.messages.map((each) => each.id)).toEqual(['log-1', 'mine too']);
  say(message({ id: 'log-2', direction: 'sent', text: 'KC 101 3' }));
  expect(handset.messages.map((each) => each.id)).toEqual(['log-1', 'log-2']);
});

test('a thread loaded again does not double what was sent from here', async () => {
  const handset = await inHand();
  fetched.mockImplementationOnce(async () => answer({ id: 'mine' }));
  await handset.send('KC 101 3', 'mine');
  fetched.mockImplementationOnce(async () => answer({ messages: [message({ id: 'log-1', direction: 'sent', text: 'KC 101 3' })] }));
  await handset.load();
  expect(handset.messages.map((each) => each.id)).toEqual(['log-1']);
});

test('a message that failed stays and is sent again under the same id', async () => {
  const handset = await inHand();
  fetched.mockImplementationOnce(async () => answer({ error: { code: 'away', message: 'away' } }, 503));
  await handset.send('KC 101 3', 'mine');
  expect(handset.messages.map((each) => each.state)).toEqual(['failed']);
  fetched.mockImplementationOnce(async () => answer({ id: 'mine' }));
  await handset.send('KC 101 3', 'mine');
  expect(handset.messages.map((each) => [each.id, each.state])).toEqual([['mine', 'sent']]);
  expect(JSON.parse(String(fetched.mock.lastCall?.[1]?.body)).id).toBe('mine');
});

test('a reply to another phone is not shown on this one', async () => {
  const handset = await inHand();
  say(message({ id: 'other', number: '+8613900000002' }), message({ id: 'here' }));
  expect(handset.messages.map((each) => each.id)).toEqual(['here']);
  expect(handset.heard).toBe('已收');
});

test('a status that comes again changes the bubble and adds none', async () => {
  const handset = await inHand([message({ id: 'm1', state: 'queued' })]);
  say(message({ id: 'm1', state: 'delivered' }));
  expect(handset.messages.map((each) => each.state)).toEqual(['delivered']);
});

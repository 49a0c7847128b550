// One simulated phone: its thread of messages, sending, and what arrives live.
import { api } from '$lib/api';
import { newId } from '$lib/ids';
import { live } from '$lib/live.svelte';
import type { Frame, PhoneMessage } from '$lib/types';

export interface Phone {
  number: string;
  name: string;
  party: string | null;
  kind: string;
  hint: string | null;
}
export interface Example {
  title: string;
  text: string;
}
/** A message as the thread shows it: `sending` and `failed` are known to this browser only. */
export type Bubble = PhoneMessage & { problem?: unknown };

/** Somebody without a live socket, such as the demo's shopkeeper, hears of replies by asking. */
const ASK_MS = 1_500;

const pathOf = (number: string): string => `/api/simulator/phones/${encodeURIComponent(number)}/messages`;

export class Handset {
  phone = $state.raw<Phone | null>(null);
  messages = $state.raw<Bubble[]>([]);
  status = $state<'empty' | 'loading' | 'ready' | 'failed'>('empty');
  problem = $state.raw<unknown>(null);
  /** Messages that came since the thread was last read aloud. */
  heard = $state('');

  /** Sent from here and not yet heard of by the socket, by our id: how to know the log's own entry of it. */
  #unheard = new Map<string, { text: string; named: string }>();
  #asked: AbortController | null = null;

  open(): () => void {
    const stop = live.on((frame) => this.#take(frame));
    const asking = setInterval(() => {
      if (live.state !== 'online' && this.status === 'ready' && !document.hidden) void this.load();
    }, ASK_MS);
    return () => {
      stop();
      clearInterval(asking);
      this.#asked?.abort();
      live.watch({ phone: null });
    };
  }

  async pick(phone: Phone): Promise<void> {
    this.phone = phone;
    this.messages = [];
    this.#unheard.clear();
    live.watch({ phone: phone.number });
    await this.load();
  }

  async load(): Promise<void> {
    const phone = this.phone;
    if (!phone) return;
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    if (this.messages.length === 0) this.status = 'loading';
    try {
      const answer = await api.get<{ messages: PhoneMessage[] }>(pathOf(phone.number), {}, asked.signal);
      const before = new Set(this.messages.map((message) => message.id));
      for (const message of answer.messages) if (!before.has(message.id)) this.#claim(message);
      const fresh = answer.messages.filter((message) => message.direction === 'received' && !before.has(message.id));
      if (this.status === 'ready' && fresh.length) this.heard = fresh.at(-1)!.text;
      const known = new Set(answer.messages.map((message) => message.id));
      this.messages = [...answer.messages, ...this.messages.filter((message) => !known.has(message.id))];
      this.status = 'ready';
      this.problem = null;
    } catch (error) {
      if (asked.signal.aborted) return;
      this.problem = error;
      this.status = 'failed';
    }
  }

  /** Shown at once, then confirmed; the id is ours, so sending it again makes no second message. */
  async send(text: string, id: string = newId()): Promise<void> {
    const phone = this.phone;
    if (!phone) return;
    this.#unheard.set(id, { text: text.trim(), named: id });
    this.#put({ id, number: phone.number, direction: 'sent', text, at: new Date().toISOString(), state: 'sending' });
    try {
      const answer = await api.post<{ id: string }>(pathOf(phone.number), { text, id });
      const waiting = this.#unheard.get(id);
      if (waiting) waiting.named = answer.id;
      this.#settle(id, { state: 'sent' });
    } catch (error) {
      this.#settle(id, { state: 'failed', problem: error });
    }
  }

  #settle(id: string, part: Partial<Bubble>): void {
    this.messages = this.messages.map((message) =>
      message.id === id && message.state === 'sending' ? { ...message, ...part } : message,
    );
  }

  /** The log gives a message an id of its own: our bubble for it makes room, the oldest of equal ones first. */
  #claim(message: PhoneMessage): void {
    if (message.direction !== 'sent') return;
    const waiting = [...this.#unheard];
    const found =
      waiting.find(([, { named }]) => named === message.id) ??
      waiting.find(([, { text }]) => text === message.text.trim());
    if (!found) return;
    this.#unheard.delete(found[0]);
    this.messages = this.messages.map((known) => (known.id === found[0] ? message : known));
  }

  #put(message: Bubble): void {
    const place = this.messages.findIndex((known) => known.id === message.id);
    this.messages = place < 0 ? [...this.messages, message] : this.messages.with(place, message);
  }

  #take(frame: Frame): void {
    if (frame.reload) void this.load();
    for (const message of frame.phone ?? []) {
      if (message.number !== this.phone?.number) continue;
      if (this.messages.some((known) => known.id === message.id)) this.#unheard.delete(message.id);
      else this.#claim(message);
      this.#put(message);
      if (message.direction === 'received') this.heard = message.text;
    }
  }
}

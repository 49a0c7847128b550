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

const pathOf = (number: string): string => `/api/simulator/phones/${encodeURIComponent(number)}/messages`;

export class Handset {
  phone = $state.raw<Phone | null>(null);
  messages = $state.raw<Bubble[]>([]);
  status = $state<'empty' | 'loading' | 'ready' | 'failed'>('empty');
  problem = $state.raw<unknown>(null);
  /** Messages that came since the thread was last read aloud. */
  heard = $state('');

  #asked: AbortController | null = null;

  open(): () => void {
    const stop = live.on((frame) => this.#take(frame));
    return () => {
      stop();
      this.#asked?.abort();
      live.watch({ phone: null });
    };
  }

  async pick(phone: Phone): Promise<void> {
    this.phone = phone;
    this.messages = [];
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
    this.#put({ id, number: phone.number, direction: 'sent', text, at: new Date().toISOString(), state: 'sending' });
    try {
      const answer = await api.post<{ id: string }>(pathOf(phone.number), { text, id });
      this.#settle(id, { id: answer.id, state: 'sent' });
    } catch (error) {
      this.#settle(id, { state: 'failed', problem: error });
    }
  }

  #settle(id: string, part: Partial<Bubble>): void {
    const newer = part.id && part.id !== id && this.messages.some((message) => message.id === part.id);
    this.messages = newer
      ? this.messages.filter((message) => message.id !== id)
      : this.messages.map((message) =>
          message.id === id && (message.state === 'sending' || part.state === 'failed') ? { ...message, ...part } : message,
        );
  }

  #put(message: Bubble): void {
    const place = this.messages.findIndex((known) => known.id === message.id);
    this.messages = place < 0 ? [...this.messages, message] : this.messages.with(place, message);
  }

  #take(frame: Frame): void {
    if (frame.reload) void this.load();
    for (const message of frame.phone ?? []) {
      if (message.number !== this.phone?.number) continue;
      // Our own message may come back by the socket before the answer to the request names it.
      const mine = this.messages.find(
        (known) => known.state === 'sending' && message.direction === 'sent' && known.text === message.text,
      );
      if (mine && mine.id !== message.id) this.messages = this.messages.filter((known) => known !== mine);
      this.#put(message);
      if (message.direction === 'received') this.heard = message.text;
    }
  }
}

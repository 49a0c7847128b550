// The live socket: resumes by sequence number, beats, backs off, and hands pages one merged frame at a time.
import { apiLocale } from './api';
import { coalesce } from './coalesce';
import type { Frame, Service, View } from './types';

const FLUSH_MS = 100;
const SILENCE_MS = 12_000; // the server beats every 5 s; two lost beats mean the line is dead
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;

export interface Watch {
  inbox: { view: View; queue: string | null } | null;
  party: string | null;
  phone: string | null;
}
export type Listener = (frame: Frame) => void;

/** Full jitter, so that a thousand consoles do not come back in the same second. */
export function retryDelay(attempt: number, random: number = Math.random()): number {
  const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt);
  return ceiling / 2 + (ceiling / 2) * random;
}

export class Live {
  /** `idle` until started; `offline` only after a connection was lost or refused. */
  state = $state<'idle' | 'connecting' | 'online' | 'offline'>('idle');
  confirmedAt = $state<Date | null>(null);
  service = $state.raw<Service>({ database: 'ok', spooled: 0 });
  head = 0;

  #socket: WebSocket | null = null;
  #watch: Watch = { inbox: null, party: null, phone: null };
  #listeners = new Set<Listener>();
  #pending: Frame[] = [];
  #flushTimer: ReturnType<typeof setTimeout> | null = null;
  #retryTimer: ReturnType<typeof setTimeout> | null = null;
  #silenceTimer: ReturnType<typeof setTimeout> | null = null;
  #attempt = 0;
  #wanted = false;

  start(head: number): void {
    this.head = Math.max(this.head, head);
    if (this.#wanted) return;
    this.#wanted = true;
    window.addEventListener('online', this.#retryNow);
    document.addEventListener('visibilitychange', this.#retryNow);
    this.#connect();
  }

  stop(): void {
    this.#wanted = false;
    window.removeEventListener('online', this.#retryNow);
    document.removeEventListener('visibilitychange', this.#retryNow);
    for (const timer of [this.#flushTimer, this.#retryTimer, this.#silenceTimer]) if (timer) clearTimeout(timer);
    this.#flushTimer = this.#retryTimer = this.#silenceTimer = null;
    this.#pending = [];
    this.#socket?.close();
    this.#socket = null;
    this.state = 'idle';
    this.head = 0;
  }

  /** Connect anew, for frames in another language; nothing is missed, since it resumes. */
  restart(): void {
    if (!this.#wanted) return;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#connect();
  }

  /** Frames arrive merged, at most every 100 ms. Returns the way to stop listening. */
  on(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Several pages share one socket: each names only the part it looks at. */
  watch(part: Partial<Watch>): void {
    this.#watch = { ...this.#watch, ...part };
    this.#send({ op: 'watch', ...this.#watch });
  }

  presence(party: string, state: 'looking' | 'typing' | 'gone'): void {
    this.#send({ op: 'presence', party, state });
  }

  /** Move past what was just loaded over HTTP, so that a reconnect asks only for what is newer. */
  caughtUp(head: number): void {
    this.head = Math.max(this.head, head);
  }

  #retryNow = (): void => {
    if (document.visibilityState === 'hidden' || !this.#wanted || this.#socket) return;
    this.#attempt = 0;
    this.#connect();
  };

  #connect(): void {
    if (this.#retryTimer) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    if (this.state === 'idle') this.state = 'connecting';
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new WebSocket(`${scheme}://${location.host}/api/live?lang=${apiLocale()}`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#send({ op: 'hello', since: this.head });
      this.#send({ op: 'watch', ...this.#watch });
      this.#listenForSilence();
    };
    socket.onmessage = (message) => {
      if (this.#socket !== socket) return;
      this.#take(JSON.parse(String(message.data)) as Frame);
    };
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#lost();
    };
    this.#listenForSilence();
  }

  #take(frame: Frame): void {
    this.#attempt = 0;
    this.state = 'online';
    this.confirmedAt = new Date();
    if (frame.service) this.service = frame.service;
    this.#listenForSilence();
    this.#pending.push(frame);
    this.#flushTimer ??= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  #flush(): void {
    this.#flushTimer = null;
    const frame = coalesce(this.#pending);
    this.#pending = [];
    // Moved only now: what was received but never shown must be asked for again.
    this.head = Math.max(this.head, frame.head);
    for (const listener of [...this.#listeners]) listener(frame);
  }

  #listenForSilence(): void {
    if (this.#silenceTimer) clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#lost(), SILENCE_MS);
  }

  #lost(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    if (this.#silenceTimer) clearTimeout(this.#silenceTimer);
    if (!this.#wanted) return;
    this.state = 'offline';
    this.#retryTimer = setTimeout(() => this.#connect(), retryDelay(this.#attempt++));
  }

  #send(message: unknown): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}

export const live = new Live();

// The conversations list: one page loaded over HTTP, kept true by live frames, frozen while it is pointed at.
import { api, ApiError } from '$lib/api';
import { live } from '$lib/live.svelte';
import { explain } from '$lib/toasts.svelte';
import type { Counts, Frame, InboxPage, Row, View } from '$lib/types';
import { arrange, neighbour } from './order';

const PAGE = 50;

export class Inbox {
  view = $state<View>('open');
  queue = $state<string | null>(null);
  state = $state<'loading' | 'ready' | 'failed'>('loading');
  trouble = $state('');
  counts = $state.raw<Counts | null>(null);
  rows = $state.raw<Row[]>([]);
  fresh = $state(0);
  more = $state(false);
  /** Parties that left the view while the list was frozen; shown dimmed until it moves again. */
  left = $state.raw<ReadonlySet<string>>(new Set());

  #known = new Map<string, Row>();
  #next: string | null = null;
  #stood: { party: string | null; at: number } = { party: null, at: -1 };
  #frozen = false;
  #loading: AbortController | null = null;
  #stop: () => void;

  constructor() {
    this.#stop = live.on((frame) => this.#take(frame));
  }

  close(): void {
    this.#stop();
    this.#loading?.abort();
    live.watch({ inbox: null });
  }

  async show(view: View, queue: string | null): Promise<void> {
    this.view = view;
    this.queue = queue;
    this.state = 'loading';
    live.watch({ inbox: { view, queue } });
    await this.reload();
  }

  async reload(): Promise<void> {
    this.#loading?.abort();
    const mine = (this.#loading = new AbortController());
    try {
      const page = await api.get<InboxPage>('/api/inbox', this.#query(null), mine.signal);
      this.#known = new Map(page.rows.map((row) => [row.party, row]));
      this.#next = page.next;
      this.more = page.next !== null;
      this.counts = page.counts;
      this.state = 'ready';
      live.caughtUp(page.head);
      this.#arrange(true);
      this.stand(this.#stood.party);
    } catch (error) {
      if (mine.signal.aborted) return;
      this.trouble = explain(error);
      this.state = 'failed';
    }
  }

  async loadMore(): Promise<void> {
    if (!this.more || this.#next === null) return;
    this.more = false;
    const mine = this.#loading;
    try {
      const page = await api.get<InboxPage>('/api/inbox', this.#query(this.#next), mine?.signal);
      for (const row of page.rows) this.#keep(row);
      this.#next = page.next;
      this.more = page.next !== null;
      // What was asked for by scrolling is added at the end also while frozen.
      const shown = new Set(this.rows.map((row) => row.party));
      this.rows = [...this.rows, ...page.rows.filter((row) => !shown.has(row.party))];
      this.#arrange(false);
    } catch (error) {
      if (error instanceof ApiError) this.more = true;
    }
  }

  set frozen(value: boolean) {
    if (this.#frozen === value) return;
    this.#frozen = value;
    if (!value) this.#arrange(true);
  }

  /** Shown as read at once; the next row of the party brings the server's own count. */
  read(party: string, seq: number): void {
    const row = this.#known.get(party);
    if (!row?.unread || row.last_seq > seq) return;
    this.#known.set(party, { ...row, unread: 0 });
    this.#arrange(false);
  }

  /** The "N new" pill: bring the list up to date although it is pointed at. */
  refresh(): void {
    this.#arrange(true);
  }

  row(party: string): Row | null {
    return this.#known.get(party) ?? this.rows.find((row) => row.party === party) ?? null;
  }

  /** Remember where the opened conversation stands, so that the next one is known after it has moved. */
  stand(party: string | null): void {
    this.#stood = { party, at: this.rows.findIndex((row) => row.party === party) };
  }

  neighbour(party: string | null, step: 1 | -1): Row | null {
    return neighbour(this.rows, party, this.#stood.party === party ? this.#stood.at : -1, step);
  }

  #query(after: string | null): Record<string, string | number | null> {
    return { view: this.view, queue: this.queue, after, limit: PAGE };
  }

  #keep(row: Row): boolean {
    const known = this.#known.get(row.party);
    if (known && known.version > row.version) return false;
    this.#known.set(row.party, row);
    return true;
  }

  #take(frame: Frame): void {
    if (this.counts && (frame.counts || frame.mine !== undefined)) {
      const { views, queues } = this.counts;
      const mine = frame.mine ?? views.mine;
      this.counts = { views: { ...views, ...frame.counts?.views, mine }, queues: frame.counts?.queues ?? queues };
    }
    if (frame.reload) {
      void this.reload();
      return;
    }
    if (this.state !== 'ready') return;
    let changed = false;
    for (const row of frame.rows ?? []) changed = this.#keep(row) || changed;
    for (const party of frame.gone ?? []) changed = this.#known.delete(party) || changed;
    if (changed) this.#arrange(false);
  }

  #arrange(thaw: boolean): void {
    const { rows, fresh } = arrange(this.#known, this.rows, this.view, this.#frozen && !thaw);
    this.rows = rows;
    this.fresh = fresh;
    this.left = new Set(rows.filter((row) => !this.#known.has(row.party)).map((row) => row.party));
  }
}

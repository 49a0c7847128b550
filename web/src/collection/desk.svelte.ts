// What the collection desk shows and how it stays true: the chosen period and filters, the rows, live changes.
import { api, apiLocale, withQuery } from '$lib/api';
import { newId } from '$lib/ids';
import { live } from '$lib/live.svelte';
import type { FigureChange, FormField, Frame, Titled } from '$lib/types';
import { changed, type FigureHistory, type Filter, type GridPage, type GridProduct, type ShopRow, type Verb } from './figures';

const PAGE_ROWS = 200;
const SEARCH_PAUSE_MS = 250;
/** Totals are the server's; after live changes they are asked for again, not more often than this. */
const TOTALS_PAUSE_MS = 1_000;

export interface Choice {
  form: string;
  period: string;
  territory: string;
  state: Filter;
  q: string;
}
export interface Figure {
  party: string;
  sku: string;
  field: string;
}

/** The id a figure's cell has on the page. */
export const cellId = ({ party, sku, field }: Figure): string => `figure-${party}-${sku}-${field}`;

export class Desk {
  choice = $state<Choice>({ form: '', period: '', territory: '', state: 'expected', q: '' });
  /** `all` or the id of the one field shown; the form's first field until somebody chooses. */
  shown = $state('');
  status = $state<'loading' | 'ready' | 'failed'>('loading');
  problem = $state.raw<unknown>(null);
  /** Other rows than those shown are on their way. */
  busy = $state(false);
  rows = $state.raw<ShopRow[]>([]);
  products = $state.raw<GridProduct[]>([]);
  fields = $state.raw<FormField[]>([]);
  periods = $state.raw<Titled[]>([]);
  totals = $state.raw<Record<Filter, number> | null>(null);
  next = $state<string | null>(null);
  /** The figures that live changes touched since the grid last looked. */
  touched = $state.raw<readonly FigureChange[]>([]);

  #places = new Map<string, number>();
  #meanwhile: FigureChange[] = [];
  #loading: AbortController | null = null;
  #pause: ReturnType<typeof setTimeout> | null = null;
  #totalsPause: ReturnType<typeof setTimeout> | null = null;

  constructor(form: string, period: string) {
    this.choice.form = form;
    this.choice.period = period;
  }

  /** Starts looking; returns the way to stop. */
  open(): () => void {
    void this.load();
    const stop = live.on((frame) => this.#take(frame));
    return () => {
      stop();
      this.#loading?.abort();
      if (this.#pause) clearTimeout(this.#pause);
      if (this.#totalsPause) clearTimeout(this.#totalsPause);
    };
  }

  choose(part: Partial<Choice>): void {
    Object.assign(this.choice, part);
    if (this.#pause) clearTimeout(this.#pause);
    this.#pause = setTimeout(() => void this.load(), 'q' in part ? SEARCH_PAUSE_MS : 0);
  }

  /** `again` asks for what is already shown: when that fails, what is shown stays. */
  async load(again = false): Promise<void> {
    this.#loading?.abort();
    const asked = (this.#loading = new AbortController());
    this.status = this.rows.length ? this.status : 'loading';
    this.busy = !again;
    this.#meanwhile = [];
    try {
      const page = await this.#ask({ limit: PAGE_ROWS }, asked.signal);
      this.#show(page);
      this.rows = page.rows;
      this.#places = new Map(page.rows.map((row, place) => [row.party, place]));
      // What the socket said while the answer was on its way may be newer than the answer.
      this.#apply(this.#meanwhile.filter((change) => change.seq > page.head));
      this.status = 'ready';
      this.problem = null;
    } catch (error) {
      if (asked.signal.aborted) return;
      this.problem = error;
      if (again && this.rows.length) return;
      this.status = 'failed';
      this.rows = [];
      this.#places.clear();
    } finally {
      if (this.#loading === asked) {
        this.#loading = null;
        this.busy = false;
      }
    }
  }

  /** The next rows; safe to call whenever the end comes near. */
  async more(): Promise<void> {
    if (!this.next || this.#loading) return;
    const asked = (this.#loading = new AbortController());
    try {
      const page = await this.#ask({ limit: PAGE_ROWS, after: this.next }, asked.signal);
      const fresh = page.rows.filter((row) => !this.#places.has(row.party));
      fresh.forEach((row, place) => this.#places.set(row.party, this.rows.length + place));
      this.rows = [...this.rows, ...fresh];
      this.next = page.next;
    } catch (error) {
      if (!asked.signal.aborted) this.problem = error;
    } finally {
      if (this.#loading === asked) this.#loading = null;
    }
  }

  /** Makes sure the shop is among the rows, also when it lies beyond the loaded ones or outside the filters. */
  async fetchShop({ party, name }: { party: string; name: string }): Promise<void> {
    if (this.#places.has(party)) return;
    const { form, period } = this.choice;
    const page = await api.get<GridPage>('/api/collection', { form, period, q: name, limit: 50 });
    const found = page.rows.find((row) => row.party === party);
    if (!found || this.#places.has(party)) return;
    this.rows = [found, ...this.rows];
    this.#places = new Map(this.rows.map((row, place) => [row.party, place]));
  }

  row(party: string): ShopRow | null {
    return this.rows[this.#places.get(party) ?? -1] ?? null;
  }
  place(party: string): number {
    return this.#places.get(party) ?? -1;
  }

  /** The file holds the rows that the filters let through. */
  exportUrl(format: 'csv' | 'xlsx'): string {
    // A download is the browser's own request, so the page's language has to be said.
    return withQuery('/api/collection/export', { ...this.choice, q: this.choice.q.trim(), format, lang: apiLocale() });
  }

  history(figure: Figure, signal?: AbortSignal): Promise<FigureHistory> {
    const { form, period } = this.choice;
    return api.get<FigureHistory>('/api/collection/figure', { ...figure, form, period }, signal);
  }

  /** Accepts, corrects or rejects; the observation says which state of the figure was looked at. */
  async decide(figure: Figure, verb: Verb, observation: string, more: { input?: string; reason?: string } = {}, actId = newId()): Promise<void> {
    const { form, period } = this.choice;
    await api.act('/api/collection/figure', { ...figure, form, period, verb, observation, ...more }, actId);
  }

  #ask(extra: Record<string, string | number>, signal?: AbortSignal): Promise<GridPage> {
    const { form, period, territory, state, q } = this.choice;
    return api.get<GridPage>('/api/collection', { form, period, territory, state, q: q.trim(), ...extra }, signal);
  }

  #show(page: GridPage): void {
    this.products = page.products;
    this.fields = page.fields;
    this.periods = page.periods;
    this.totals = page.totals;
    this.next = page.next;
    this.choice.form = page.form;
    this.choice.period = page.period;
    if (this.shown !== 'all' && !page.fields.some((field) => field.id === this.shown)) {
      this.shown = page.fields[0]?.id ?? 'all';
    }
  }

  #take(frame: Frame): void {
    if (frame.reload) {
      void this.load(true);
      return;
    }
    const mine = (frame.figures ?? []).filter(
      (change) => change.form === this.choice.form && change.period === this.choice.period,
    );
    if (mine.length === 0) return;
    if (this.#loading) this.#meanwhile.push(...mine);
    this.#apply(mine);
    this.touched = mine;
    this.#totalsPause ??= setTimeout(() => {
      this.#totalsPause = null;
      void this.#refreshTotals();
    }, TOTALS_PAUSE_MS);
  }

  #apply(changes: readonly FigureChange[]): void {
    if (changes.length === 0) return;
    const at = new Date().toISOString();
    const rows = [...this.rows];
    for (const change of changes) {
      const place = this.#places.get(change.party);
      const row = place === undefined ? undefined : rows[place];
      // A row keeps its place even when the filter no longer fits: nothing moves under the pointer.
      if (row) rows[place!] = changed(row, change, at);
    }
    this.rows = rows;
  }

  async #refreshTotals(): Promise<void> {
    try {
      this.totals = (await this.#ask({ limit: 1 })).totals;
    } catch {
      // The offline banner already says that the server is away; the next change asks again.
    }
  }
}

// One party's conversation: who it is, its timeline, who else looks at it, and the acts on it.
import { api, ApiError } from '$lib/api';
import { live } from '$lib/live.svelte';
import { explain } from '$lib/toasts.svelte';
import type { Frame, Line, Party, Present, Row, TimelinePage } from '$lib/types';

const PAGE = 50;
/** How far back a jump to an old line may page before it gives up. */
const JUMP_PAGES = 8;
const DETAIL_DELAY_MS = 600;
const MISSED_LINE_MS = 2_000;

export class Conversation {
  party = $state.raw<Party | null>(null);
  row = $state.raw<Row | null>(null);
  lines = $state.raw<Line[]>([]);
  present = $state.raw<Present[]>([]);
  state = $state<'loading' | 'ready' | 'failed'>('loading');
  trouble = $state('');
  hasOlder = $state(false);
  loadingOlder = $state(false);

  #next: number | null = null;
  #abort = new AbortController();
  #stop: () => void;
  #detailTimer: ReturnType<typeof setTimeout> | null = null;
  #readSeq = 0;

  constructor(
    readonly id: string,
    private readonly self: string,
    private readonly onread: (party: string, seq: number) => void = () => {},
  ) {
    this.#stop = live.on((frame) => this.#take(frame));
    live.watch({ party: id });
    void this.load();
  }

  close(): void {
    this.#stop();
    this.#abort.abort();
    if (this.#detailTimer) clearTimeout(this.#detailTimer);
    live.presence(this.id, 'gone');
    live.watch({ party: null });
  }

  get lastSeq(): number {
    return this.lines.at(-1)?.seq ?? 0;
  }

  get base(): string {
    return `/api/parties/${encodeURIComponent(this.id)}`;
  }

  async load(): Promise<void> {
    try {
      const [party, page] = await Promise.all([
        api.get<Party>(this.base, {}, this.#abort.signal),
        api.get<TimelinePage>(`${this.base}/timeline`, { limit: PAGE }, this.#abort.signal),
      ]);
      this.party = party;
      this.row = party.conversation;
      this.lines = merge([], page.lines);
      this.#next = page.next;
      this.hasOlder = page.next !== null;
      this.state = 'ready';
      live.caughtUp(page.head);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.trouble = error instanceof ApiError && error.status === 404 ? error.message : explain(error);
      this.state = 'failed';
    }
  }

  async older(): Promise<void> {
    if (this.loadingOlder || this.#next === null) return;
    this.loadingOlder = true;
    try {
      const page = await api.get<TimelinePage>(
        `${this.base}/timeline`,
        { before: this.#next, limit: PAGE },
        this.#abort.signal,
      );
      this.lines = merge(this.lines, page.lines);
      this.#next = page.next;
      this.hasOlder = page.next !== null;
    } finally {
      this.loadingOlder = false;
    }
  }

  /** Page back until the line is here. Gives whether it was found. */
  async reach(seq: number): Promise<boolean> {
    for (let pages = 0; pages < JUMP_PAGES; pages += 1) {
      if (this.lines.some((line) => line.seq === seq)) return true;
      if (!this.hasOlder) return false;
      await this.older();
    }
    return false;
  }

  /** The newest page again, for when no live frame brought what we know to be there. */
  async catchUp(): Promise<void> {
    const page = await api.get<TimelinePage>(`${this.base}/timeline`, { limit: PAGE }, this.#abort.signal);
    const overlaps = page.lines.some((line) => this.lines.some((known) => known.id === line.id));
    if (!overlaps) {
      // More than a page was missed: start again from the newest, the older lines load by scrolling.
      this.#next = page.next;
      this.hasOlder = page.next !== null;
    }
    this.lines = merge(overlaps ? this.lines : [], page.lines);
    await this.#refreshDetail();
  }

  /** An act of the signed-in person; its line arrives by the live socket, or is fetched when that is silent. */
  async act(what: string, body: Record<string, unknown> = {}, actId?: string): Promise<number> {
    const path = what.startsWith('/') ? what : `${this.base}/${what}`;
    const { seq } = await api.act(path, body, actId);
    setTimeout(
      () => {
        if (this.#abort.signal.aborted || this.lines.some((line) => line.seq >= seq)) return;
        this.catchUp().catch(() => {});
      },
      live.state === 'online' ? MISSED_LINE_MS : 0,
    );
    this.#detailLater();
    return seq;
  }

  markRead(): void {
    if (!this.row?.unread && this.#readSeq) return;
    // The row may count entries that show no line of their own, such as a delivery report.
    const seq = Math.max(this.lastSeq, this.row?.last_seq ?? 0);
    if (!seq || seq <= this.#readSeq || document.visibilityState === 'hidden') return;
    this.#readSeq = seq;
    // Being read is a convenience: when it is lost, the next look repeats it.
    api.post(`${this.base}/read`, { seq }).then(
      () => this.onread(this.id, seq),
      () => (this.#readSeq = 0),
    );
  }

  #take(frame: Frame): void {
    if (frame.reload) {
      this.catchUp().catch(() => {});
      return;
    }
    const mine = frame.lines?.filter((line) => line.party === this.id) ?? [];
    if (mine.length && this.state === 'ready') {
      this.lines = merge(this.lines, mine);
      this.#detailLater();
    }
    const row = frame.rows?.find((one) => one.party === this.id);
    if (row && (!this.row || row.version >= this.row.version)) this.row = row;
    const present = frame.presence?.[this.id];
    if (present) this.present = present.filter((one) => one.id !== this.self && one.state !== 'gone');
    if (frame.figures?.some((figure) => figure.party === this.id)) this.#detailLater();
  }

  #detailLater(): void {
    this.#detailTimer ??= setTimeout(() => {
      this.#detailTimer = null;
      this.#refreshDetail().catch(() => {});
    }, DETAIL_DELAY_MS);
  }

  async #refreshDetail(): Promise<void> {
    const party = await api.get<Party>(this.base, {}, this.#abort.signal);
    this.party = party;
    if (!this.row || party.conversation.version >= this.row.version) this.row = party.conversation;
  }
}

/** Lines by sequence number; a line that comes again (a delivery state, an erasure) replaces itself. */
export function merge(known: readonly Line[], added: readonly Line[]): Line[] {
  const byId = new Map(known.map((line) => [line.id, line]));
  for (const line of added) byId.set(line.id, line);
  return [...byId.values()].sort((a, b) => a.seq - b.seq);
}

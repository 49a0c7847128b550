// Data that a page asks for once and again: what came last, what is under way, what went wrong.

export class Loaded<T> {
  value = $state.raw<T | null>(null);
  problem = $state.raw<unknown>(null);
  busy = $state(false);
  #asked = 0;

  constructor(private readonly fetch: () => Promise<T>) {}

  /** Ask again; of answers that overtake each other the one asked for last counts. */
  async load(): Promise<void> {
    const asked = ++this.#asked;
    this.busy = true;
    try {
      const value = await this.fetch();
      if (asked !== this.#asked) return;
      this.value = value;
      this.problem = null;
    } catch (problem) {
      if (asked === this.#asked) this.problem = problem;
    } finally {
      if (asked === this.#asked) this.busy = false;
    }
  }
}

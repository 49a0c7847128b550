// The values of the collection desk and the plain rules about them: columns, moves, states, what may be typed.
import type { FigureChange, FigureState, FormField, Span, Titled } from '$lib/types';

export type ShopState = 'received' | 'partial' | 'suspect' | 'missing';
/** What the four counts above the grid filter by. */
export type Filter = 'expected' | 'received' | 'suspect' | 'missing';
export const FILTERS: readonly Filter[] = ['expected', 'received', 'suspect', 'missing'];

export interface Cell {
  value: number | null;
  display: string;
  state: FigureState;
  warn: string | null;
  observation: string | null;
}
export interface GridProduct {
  sku: string;
  name: string;
  short: string;
  own: boolean;
}
export interface ShopRow {
  party: string;
  name: string;
  licence: string | null;
  territory: string | null;
  state: ShopState;
  received_at: string | null;
  late: boolean;
  cells: Record<string, Record<string, Cell | undefined> | undefined>;
  expects: string[];
}
export interface GridPage {
  form: string;
  period: string;
  periods: Titled[];
  fields: FormField[];
  products: GridProduct[];
  totals: Record<Filter, number>;
  rows: ShopRow[];
  next: string | null;
  head: number;
}

export interface Source {
  seq: number;
  text: string | null;
  span: Span | null;
  channel: string;
  at: string;
  sender: string | null;
}
/** A figure's past also knows what a later report or a correction took the place of. */
export type PastState = FigureState | 'replaced';
export interface FigureEntry {
  observation: string;
  value: number | null;
  display: string;
  state: PastState;
  warn: string | null;
  warn_label: string | null;
  at: string;
  by: { name: string } | null;
  reason: string | null;
  source: Source | null;
}
export interface FigureHistory {
  current: Cell | null;
  history: FigureEntry[];
}
export type Verb = 'accept' | 'correct' | 'reject';

export interface Column {
  product: GridProduct;
  field: FormField;
  /** The first column of its product carries the product's name. */
  first: boolean;
}
/** Which figure one looks at; the shop by its place in the loaded rows. */
export interface Place {
  row: number;
  column: number;
}

/** Products side by side; with every field shown, a product takes one column a field. */
export function columnsOf(products: readonly GridProduct[], fields: readonly FormField[], shown: string): Column[] {
  const chosen = fields.filter((field) => shown === 'all' || field.id === shown);
  return products.flatMap((product) => chosen.map((field, place) => ({ product, field, first: place === 0 })));
}

export function cellOf(row: ShopRow, sku: string, field: string): Cell | null {
  return row.cells[sku]?.[field] ?? null;
}

/** Where an arrow or paging key leads, kept inside the grid; null when the key does not move. */
export function moved(from: Place, key: string, ctrl: boolean, rows: number, columns: number, page: number): Place | null {
  const last = { row: Math.max(0, rows - 1), column: Math.max(0, columns - 1) };
  const steps: Record<string, [number, number]> = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
    PageUp: [-page, 0],
    PageDown: [page, 0],
    Home: [ctrl ? -rows : 0, -columns],
    End: [ctrl ? rows : 0, columns],
  };
  const step = steps[key];
  if (!step) return null;
  return {
    row: Math.min(last.row, Math.max(0, from.row + step[0])),
    column: Math.min(last.column, Math.max(0, from.column + step[1])),
  };
}

/** The shop's state as its figures say it: anything held is suspect, nothing at all is missing. */
export function stateOf(row: Pick<ShopRow, 'cells' | 'expects'>): ShopState {
  const given = Object.values(row.cells).flatMap((fields) => Object.values(fields ?? {}));
  if (given.some((cell) => cell?.state === 'held')) return 'suspect';
  if (!given.some(Boolean)) return 'missing';
  return row.expects.every((sku) => Object.values(row.cells[sku] ?? {}).some(Boolean)) ? 'received' : 'partial';
}

/** The row after one live change; the row itself is left as it was. */
export function changed(row: ShopRow, change: FigureChange, at: string): ShopRow {
  const gone = change.state === 'withdrawn' || change.state === 'rejected';
  const known = cellOf(row, change.sku, change.field);
  const cell: Cell | undefined = gone
    ? undefined
    : {
        value: change.value,
        display: change.display,
        state: change.state,
        warn: change.state === 'held' ? (known?.warn ?? null) : null,
        observation: null,
      };
  const cells = { ...row.cells, [change.sku]: { ...row.cells[change.sku], [change.field]: cell } };
  return { ...row, cells, state: stateOf({ cells, expects: row.expects }), received_at: row.received_at ?? at };
}

/** Text before, inside and after a span; spans count code points, JavaScript's strings do not. */
export function cut(text: string, span: Span | null): [string, string, string] {
  if (!span) return [text, '', ''];
  const points = Array.from(text);
  return [points.slice(0, span[0]).join(''), points.slice(...span).join(''), points.slice(span[1]).join('')];
}

/**
 * What a clerk typed, ready to be sent, or which rule it breaks. Full-width digits are common on Chinese keyboards.
 * Units and words for "none" are the form's business: the server reads them and says what is wrong with them.
 */
export function readInput(typed: string): { input: string } | { problem: 'empty' | 'negative' } {
  const input = typed.normalize('NFKC').trim();
  if (!input) return { problem: 'empty' };
  return /^[-−]\s*\d/.test(input) ? { problem: 'negative' } : { input };
}

/** Received of expected in whole percent; suspect shops did report. */
export function coverage(totals: Record<Filter, number>): number {
  return totals.expected ? Math.floor(((totals.expected - totals.missing) / totals.expected) * 100) : 0;
}

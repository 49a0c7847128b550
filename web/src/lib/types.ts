// The values the server's API speaks, named once for every page.

export type Locale = 'zh-Hans' | 'zh-Hant' | 'en';
export type Tone = 'jade' | 'cinnabar' | 'amber' | 'indigo' | 'ink';
export type View = 'open' | 'mine' | 'unassigned' | 'snoozed' | 'resolved' | 'all';
export const VIEWS: readonly View[] = ['open', 'mine', 'unassigned', 'snoozed', 'resolved', 'all'];

export interface Named {
  id: string;
  name: string;
}
export interface Titled {
  key: string;
  title: string;
}

export interface User extends Named {
  login: string;
  roles: string[];
  unit: string | null;
  queues: string[];
  actions: string[];
  totp: boolean;
  administrator: boolean;
  /** Somebody else knows the password: nothing opens until there is another. */
  given_password: boolean;
}
export interface Door {
  key: string;
  title: string;
  about: string;
  available: boolean;
  opens: string;
}
export interface SessionState {
  user: User | null;
  csrf: string;
  demo: boolean;
  locale: Locale;
  locales: Locale[];
  doors?: Door[];
}

export interface ChannelAccount {
  account: string;
  kind: string;
  title: string;
  sends: boolean;
}
export interface CaseKind extends Titled {
  subkinds: Titled[];
}
export interface Canned extends Titled {
  text: string;
  lang?: string;
}
export interface Product {
  sku: string;
  name: string;
  short: string;
  own: boolean;
  brand: string;
}
export interface FormField {
  id: string;
  title: string;
  type: string;
  unit: string | null;
}
export interface Form {
  id: string;
  title: string;
  fields: FormField[];
}
export type LabelSet = 'intent' | 'status' | 'warn' | 'error' | 'delivery' | 'act';
export interface Boot {
  user: User;
  now: string;
  head: number;
  period: string;
  queues: Titled[];
  users: (Named & { queues: string[] })[];
  channels: ChannelAccount[];
  case_kinds: CaseKind[];
  case_states: Titled[];
  customer_kinds: Titled[];
  canned: Canned[];
  products: Product[];
  forms: Form[];
  labels: Record<LabelSet, Record<string, string>>;
  territories: Titled[];
  simulator: boolean;
  traffic: { running: boolean } | null;
}

export interface Badge {
  code: string;
  label: string;
  tone: Tone;
}
export interface CaseBrief {
  id: string;
  number: string;
  kind: string;
  kind_title: string;
  title: string;
  state: string;
}
export interface Row {
  party: string;
  name: string;
  kind: string;
  territory: string | null;
  queue: string | null;
  state: 'open' | 'auto' | 'snoozed' | 'resolved';
  assignee: Named | null;
  unread: number;
  last_seq: number;
  last_at: string;
  preview: string;
  direction: 'in' | 'out' | 'none';
  channel: string;
  waiting_since: string | null;
  due_at: string | null;
  snoozed_until: string | null;
  badges: Badge[];
  case: CaseBrief | null;
  version: number;
}
export interface Counts {
  views: Record<View, number>;
  queues: Record<string, number>;
}
export interface InboxPage {
  rows: Row[];
  next: string | null;
  head: number;
  counts: Counts;
}

export type FigureState = 'accepted' | 'held' | 'corrected' | 'withdrawn' | 'rejected';
/** Start and end in Unicode code points of the line's text. */
export type Span = [number, number];
export interface ReadingValue {
  field: string;
  title: string;
  value: number | string | null;
  display: string;
  span: Span | null;
  state: FigureState;
  warn: string | null;
  warn_label: string | null;
}
export interface ReadingItem {
  sku: string;
  name: string;
  matched_by: string;
  values: ReadingValue[];
}
export interface ReadingError {
  code: string;
  label: string;
  token: string;
  span: Span | null;
}
export interface Reading {
  intent: string;
  intent_label: string;
  status: string;
  status_label: string;
  form: string | null;
  receipt: string | null;
  blueprint: string | null;
  items: ReadingItem[];
  errors: ReadingError[];
}
export interface Attachment {
  id: string;
  name: string;
  content_type: string;
  size: number | null;
  state: string;
}
export interface Line {
  seq: number;
  id: string;
  party: string;
  at: string;
  kind: 'message' | 'note' | 'event' | 'unreadable';
  direction: 'in' | 'out' | 'none';
  channel: string;
  account: string | null;
  from: string | null;
  to: string | null;
  text: string | null;
  raw_available: boolean;
  attachments: Attachment[];
  author: Named | null;
  delivery: { state: string; label: string; error: string | null } | null;
  reading: Reading | null;
  case: { id: string; number: string } | null;
  act: { name: string; label: string; detail: string | Record<string, unknown> | null } | null;
  automatic: boolean;
  erased: boolean;
}
export interface TimelinePage {
  lines: Line[];
  next: number | null;
  head: number;
}

export interface PartyField {
  id: string;
  title: string;
  value: unknown;
  display: string;
}
export interface PartyAddress {
  scheme: string;
  value: string;
  display: string;
  verified: boolean;
  primary: boolean;
}
export interface PartyCase extends CaseBrief {
  state_title: string;
  opened_at: string;
  due_at: string | null;
  severity: number | null;
  /** Where a person may move it from here. */
  steps?: { state: string; title: string }[];
}
export interface PartyFigure {
  form: string;
  sku: string;
  product: string;
  field: string;
  title: string;
  value: number;
  display: string;
  period: string;
  at: string | null;
  seq: number;
  state: FigureState;
}
export interface Party extends Named {
  kind: string;
  kind_title: string;
  territory: string | null;
  fields: PartyField[];
  addresses: PartyAddress[];
  persons: { name: string; post: string | null; display: string }[];
  consents: { purpose: string; state: string; at: string; label?: string }[];
  cases: PartyCase[];
  figures: PartyFigure[];
  coverage: { period: string; expected: number; received: number }[];
  merged_from: (Named & { act_seq: number })[];
  merged_into: string | null;
  conversation: Row;
  identity_hints: (string | { text: string; party?: string; name?: string })[];
}

export interface SearchParty extends Named {
  kind: string;
  kind_title: string;
  territory: string | null;
  hint: string | null;
}
export interface SearchLine {
  seq: number;
  party: string;
  name: string;
  at: string;
  channel: string;
  direction: 'in' | 'out' | 'none';
  text: string;
  marks: Span[];
}
export interface SearchCase {
  id: string;
  number: string;
  title: string;
  party: string;
  name: string;
  state: string;
}
export interface SearchResult {
  parties: SearchParty[];
  lines: SearchLine[];
  cases: SearchCase[];
}

export interface PhoneMessage {
  id: string;
  number: string;
  direction: 'sent' | 'received';
  text: string;
  at: string;
  state: string;
}
export interface FigureChange {
  party: string;
  form: string;
  period: string;
  sku: string;
  field: string;
  value: number | null;
  display: string;
  state: FigureState;
  seq: number;
}
export interface Present extends Named {
  state: 'looking' | 'typing' | 'gone';
}
/** What the socket says; several are merged into one before the pages see them. */
export interface Frame {
  head: number;
  at?: string;
  lines?: Line[];
  rows?: Row[];
  gone?: string[];
  /** What is the same for everybody; `mine` comes by itself. */
  counts?: { views: Partial<Counts['views']>; queues: Counts['queues'] };
  mine?: number;
  presence?: Record<string, Present[]>;
  phone?: PhoneMessage[];
  figures?: FigureChange[];
  reload?: boolean;
  service?: Service;
}

/** `spooled`: messages that wait on the server's own disk until the database takes them. */
export interface Service {
  database: 'ok' | 'away';
  spooled: number;
}

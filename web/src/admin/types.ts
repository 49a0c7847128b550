// The values of the administrators' API.
import type { Named } from '$lib/types';

export interface Choice {
  key: string;
  title: string;
  depth?: number;
  external?: boolean;
}
export interface Choices {
  roles: Choice[];
  units: Choice[];
  queues: Choice[];
  territories: Choice[];
}
export interface Person {
  id: string;
  login: string;
  name: string;
  roles: string[];
  unit: string;
  queues: string[];
  territories: string[];
  totp: boolean;
  given_password: boolean;
  sign_ins: number;
  seen_at: string | null;
  created_at: string;
  disabled_at: string | null;
}
export interface People {
  users: Person[];
  me: string;
  choices: Choices;
}

export interface Grant {
  when: string | null;
  days: number | null;
  four_eyes: boolean;
}
export interface RowRule {
  entity: string;
  all: boolean;
  rule: string;
  show: string[];
  hide: string[];
}
export interface Role {
  key: string;
  title: string;
  external: boolean;
  unmasked: boolean;
  administrator: boolean;
  grants: Record<string, Grant>;
  rows: RowRule[];
}
export interface Roles {
  version: number | null;
  roles: Role[];
  groups: { key: string; actions: Choice[] }[];
}

export interface Problem {
  field: string;
  problem: string;
}
export interface LineField {
  name: string;
  label: string;
  hint: string;
  type: 'text' | 'number' | 'integer' | 'flag' | 'choice' | 'json';
  options: string[];
  required: boolean;
  default: unknown;
}
export interface Provider {
  name: string;
  title: string;
  kind: string;
  demo: boolean;
  fields: LineField[];
  secrets: { name: string; label: string; required: boolean }[];
}
export interface Line {
  slug: string;
  title: string;
  provider: string;
  provider_title: string;
  kind: string;
  enabled: boolean;
  problems: Problem[];
  config: Record<string, unknown>;
  secrets: Record<string, string>;
  hooks: string[];
  updated_at: string;
}
export interface Lines {
  accounts: Line[];
  providers: Provider[];
}

export interface Act {
  seq: number;
  id: string;
  at: string;
  name: string;
  title: string;
  family: string;
  by: Named | null;
  os_user: string;
  object: { kind: string; id: string; name: string } | null;
  facts: { label: string; value: string }[];
  refused: string;
}
export interface Trail {
  lines: Act[];
  next: number | null;
  people: Named[];
  families: Choice[];
}

/** What a process says of itself; an older one says less. */
export interface ProcessDetail {
  version?: string;
  consoles?: number;
  jobs?: number;
  bus?: boolean;
  spool?: { entries: number; bytes: number; set_aside: number; limit: number };
}
export interface System {
  now: string;
  grown: boolean;
  head: number;
  alarms: {
    name: string;
    title: string;
    meaning: string;
    urgent: boolean;
    figures: Record<string, string | number>;
    since: string;
    told_at: string | null;
  }[];
  processes: {
    name: string;
    role: string;
    host: string;
    pid: number;
    started_at: string;
    seen_at: string;
    silent: boolean;
    detail: ProcessDetail;
  }[];
  leases: { name: string; holder: string; epoch: number; until: string; free: boolean }[];
  consumers: { name: string; lag: number; parked: number }[];
  outbox: Record<string, number>;
  seal_lag: number;
}

export interface Item {
  id: string;
  state: string;
  job: string;
  lane: string;
  account: string;
  address: string;
  attempts: number;
  error: string;
  error_label: string;
  cause: number | null;
  due_at: string;
  created_at: string;
  deadline: string | null;
}
export interface Items {
  items: Item[];
  next: string | null;
  counts: Record<string, number>;
}
export interface ParkedEntry {
  consumer: string;
  seq: number;
  error: string;
  parked_at: string;
  kind: string;
  account: string;
  act: string;
  occurred_at: string | null;
}
export interface ParkedEntries {
  entries: ParkedEntry[];
  next: number | null;
}

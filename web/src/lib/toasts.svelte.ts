// Short notices at the edge of the page: what was done, what went wrong, perhaps one action.
import { ApiError } from './api';
import { t } from './i18n.svelte';

export interface Toast {
  id: number;
  text: string;
  tone: 'ink' | 'cinnabar';
  action: { label: string; run: () => void } | null;
}

const STAYS_MS = 5_000;
const STAYS_WITH_ACTION_MS = 9_000;
let last = 0;

export const toasts = $state<Toast[]>([]);

export function notify(text: string, options: { tone?: Toast['tone']; action?: Toast['action'] } = {}): void {
  const id = ++last;
  toasts.push({ id, text, tone: options.tone ?? 'ink', action: options.action ?? null });
  if (toasts.length > 4) toasts.shift();
  setTimeout(() => dismiss(id), options.action ? STAYS_WITH_ACTION_MS : STAYS_MS);
}

export function dismiss(id: number): void {
  const place = toasts.findIndex((toast) => toast.id === id);
  if (place >= 0) toasts.splice(place, 1);
}

/** What a person reads when an act fails: the server's own words where it gave some. */
export function explain(error: unknown): string {
  if (error instanceof ApiError) {
    if (error.isUnreachable) return t('The server does not answer. Check the connection and try again.');
    if (error.status === 401) return t('You are signed out. Sign in again.');
    if (error.status === 403) return error.message || t('You may not do that.');
    return error.message;
  }
  return t('Something went wrong on this page. Reload it and try again.');
}

export function complain(error: unknown): void {
  notify(explain(error), { tone: 'cinnabar' });
}

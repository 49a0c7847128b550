// Times, durations and numbers as people of the chosen language write them.
import { locale } from './i18n.svelte';

const cache = new Map<string, Intl.DateTimeFormat>();

function formatter(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const tag = locale() === 'en' ? 'en-GB' : locale();
  const key = tag + JSON.stringify(options);
  let found = cache.get(key);
  if (!found) cache.set(key, (found = new Intl.DateTimeFormat(tag, options)));
  return found;
}

export type When = string | Date;
const asDate = (at: When): Date => (typeof at === 'string' ? new Date(at) : at);

export function dayKey(at: When): string {
  const date = asDate(at);
  return `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
}

export function clock(at: When): string {
  return formatter({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(asDate(at));
}

export function day(at: When, now: Date = new Date()): string {
  const date = asDate(at);
  const apart = Math.round((midnight(now) - midnight(date)) / 86_400_000);
  if (apart >= -1 && apart <= 1) {
    const words = new Intl.RelativeTimeFormat(locale(), { numeric: 'auto' }).format(-apart, 'day');
    return words.charAt(0).toUpperCase() + words.slice(1);
  }
  const year = date.getFullYear() === now.getFullYear() ? undefined : 'numeric';
  return formatter({ year, month: 'long', day: 'numeric', weekday: 'short' }).format(date);
}

export function shortDay(at: When): string {
  return formatter({ month: 'short', day: 'numeric' }).format(asDate(at));
}

export function full(at: When): string {
  return formatter({
    year: 'numeric',
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  }).format(asDate(at));
}

/** For a list: the time today, the day before that. */
export function brief(at: When, now: Date = new Date()): string {
  return dayKey(at) === dayKey(now) ? clock(at) : shortDay(at);
}

/** "12 min", "3 h", "2 d": how long, without a direction. */
export function span(milliseconds: number): string {
  const minutes = Math.max(0, Math.floor(Math.abs(milliseconds) / 60_000));
  const unit = minutes < 60 ? 'minute' : minutes < 60 * 48 ? 'hour' : 'day';
  const value = unit === 'minute' ? minutes : unit === 'hour' ? Math.floor(minutes / 60) : Math.floor(minutes / 1440);
  return new Intl.NumberFormat(locale(), { style: 'unit', unit, unitDisplay: 'short' }).format(value);
}

export function count(value: number): string {
  return new Intl.NumberFormat(locale()).format(value);
}

function midnight(date: Date): number {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

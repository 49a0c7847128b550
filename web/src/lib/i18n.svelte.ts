// The interface's own words: English message ids, one gettext catalogue, the language chosen and kept.
import { setApiLocale } from './api';
import type { Locale } from './types';

/** A message id to its translation; a plural is kept under its singular id as a list of forms. */
export type Catalogue = Record<string, string | string[]>;
export const LOCALES: readonly Locale[] = ['zh-Hans', 'zh-Hant', 'en'];
export const LOCALE_NAMES: Record<Locale, string> = { 'zh-Hans': '简体中文', 'zh-Hant': '繁體中文', en: 'English' };

const STORED = 'switchboard.locale';
const LOADERS: Record<Locale, () => Promise<{ default: Catalogue }>> = {
  'zh-Hans': () => import('../generated/zh-Hans.json'),
  'zh-Hant': () => import('../generated/zh-Hant.json'),
  en: () => import('../generated/en.json'),
};

const chosen = $state<{ locale: Locale; catalogue: Catalogue }>({ locale: 'en', catalogue: {} });

export type Vars = Record<string, string | number>;

function fill(text: string, vars?: Vars): string {
  return vars ? text.replace(/\{(\w+)\}/g, (whole, name: string) => String(vars[name] ?? whole)) : text;
}

/** `t("Sign in")`, `t("Assigned to {name}", { name })`. */
export function t(msgid: string, vars?: Vars): string {
  const found = chosen.catalogue[msgid];
  return fill((Array.isArray(found) ? found[0] : found) || msgid, vars);
}

/** A count: `tn("{n} message", "{n} messages", 3)`; `{n}` is filled with the count. */
export function tn(one: string, many: string, n: number, vars?: Vars): string {
  const found = chosen.catalogue[one];
  const form = new Intl.PluralRules(chosen.locale).select(n) === 'one' ? 0 : 1;
  const text = Array.isArray(found) ? found[Math.min(form, found.length - 1)] : found;
  return fill(text || (n === 1 ? one : many), { n, ...vars });
}

export function locale(): Locale {
  return chosen.locale;
}

/** The closest language we speak: zh-TW, zh-HK and zh-MO read traditional characters. */
export function closest(tags: readonly string[]): Locale | null {
  for (const tag of tags) {
    const lower = tag.toLowerCase().replace('_', '-');
    if (lower.startsWith('zh')) return /hant|-(tw|hk|mo)\b/.test(lower) ? 'zh-Hant' : 'zh-Hans';
    if (lower.startsWith('en')) return 'en';
  }
  return null;
}

export function firstLocale(): Locale {
  const asked = new URLSearchParams(location.search).get('lang');
  const kept = localStorage.getItem(STORED);
  return (asked && closest([asked])) || (kept && closest([kept])) || closest(navigator.languages) || 'en';
}

export async function setLocale(next: Locale, keep = true): Promise<void> {
  const loaded = await LOADERS[next]();
  chosen.catalogue = loaded.default;
  chosen.locale = next;
  document.documentElement.lang = next;
  setApiLocale(next);
  if (keep) localStorage.setItem(STORED, next);
}

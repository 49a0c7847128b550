// A provider's configuration between what is typed and what is stored: texts here, typed values there.
import type { LineField } from './types';

/** What the field shows for a stored value; nothing stored shows as nothing, except a flag. */
export function textOf(field: LineField, stored: unknown): string {
  if (field.type === 'flag') return String(stored ?? field.default ?? false);
  if (stored === undefined || stored === null) return '';
  return field.type === 'json' ? JSON.stringify(stored, null, 2) : String(stored);
}

/** The fields whose JSON cannot be read. */
export function wrongJson(fields: readonly LineField[], values: Record<string, string>): string[] {
  return fields
    .filter((field) => field.type === 'json' && (values[field.name] ?? '').trim() !== '' && parsed(values[field.name]!) === undefined)
    .map((field) => field.name);
}

/** What is stored: what says something other than the default. A number that is none stays a text, for the server to refuse. */
export function configOf(fields: readonly LineField[], values: Record<string, string>): Record<string, unknown> {
  const config: Record<string, unknown> = {};
  for (const field of fields) {
    const text = (values[field.name] ?? '').trim();
    if (text === '') continue;
    const value = valueOf(field, text);
    if (value !== field.default) config[field.name] = value;
  }
  return config;
}

function valueOf(field: LineField, text: string): unknown {
  if (field.type === 'flag') return text === 'true';
  if (field.type === 'json') return parsed(text);
  if (field.type === 'number' || field.type === 'integer') {
    const number = Number(text);
    return Number.isNaN(number) ? text : number;
  }
  return text;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

// The HTTP side of the server's API: JSON in and out, the CSRF header, errors as one class.
import { newId } from './ids';

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly detail: Record<string, unknown> = {},
  ) {
    super(message);
    this.name = 'ApiError';
  }
  /** No answer came: the server or the network is away, so the outcome of a write is unknown. */
  get isUnreachable(): boolean {
    return this.status === 0;
  }
}

const TIMEOUT_MS = 15_000;
let csrf = '';
let locale = 'en';
let signedOut: () => void = () => {};

export function setCsrf(token: string): void {
  csrf = token;
}
export function setApiLocale(tag: string): void {
  locale = tag;
}
export function apiLocale(): string {
  return locale;
}
/** Called when the server no longer knows our session. */
export function onSignedOut(handler: () => void): void {
  signedOut = handler;
}

export type Query = Record<string, string | number | boolean | null | undefined>;

export function withQuery(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

async function request<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json', 'Accept-Language': locale };
  // Said in the address too: there it wins over a choice kept from another browser session.
  const address = `${path}${path.includes('?') ? '&' : '?'}lang=${locale}`;
  if (method !== 'GET') headers['X-CSRF'] = csrf;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(address, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'unreachable', 'The server does not answer.');
  }
  if (response.status === 204) return undefined as T;
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return answer as T;
  const problem = (answer as { error?: { code?: string; message?: string; detail?: Record<string, unknown> } } | null)
    ?.error;
  const error = new ApiError(
    response.status,
    problem?.code ?? `http_${response.status}`,
    problem?.message ?? response.statusText,
    problem?.detail ?? {},
  );
  if (error.status === 401 && !path.startsWith('/api/session')) signedOut();
  throw error;
}

export const api = {
  get: <T>(path: string, query?: Query, signal?: AbortSignal) =>
    request<T>('GET', withQuery(path, query), undefined, signal),
  post: <T>(path: string, body: unknown = {}) => request<T>('POST', path, body),
  delete: <T>(path: string, body?: unknown) => request<T>('DELETE', path, body),
  /** A person's act: carries an id of ours, so that sending it again does nothing twice. */
  act: <T = { seq: number }>(path: string, body: Record<string, unknown> = {}, actId: string = newId()) =>
    request<T>('POST', path, { act_id: actId, ...body }),
};

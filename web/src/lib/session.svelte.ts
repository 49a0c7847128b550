// Who is signed in, and what the server told at the start: queues, people, channels, words.
import { api, onSignedOut, setCsrf } from './api';
import { live } from './live.svelte';
import type { Boot, Door, SessionState, User } from './types';

interface Signed {
  ready: boolean;
  user: User | null;
  demo: boolean;
  doors: Door[];
  boot: Boot | null;
}

export const session = $state<Signed>({ ready: false, user: null, demo: false, doors: [], boot: null });

onSignedOut(() => {
  live.stop();
  session.user = null;
  session.boot = null;
});

export async function loadSession(): Promise<void> {
  const state = await api.get<SessionState>('/api/session');
  setCsrf(state.csrf);
  session.user = state.user;
  session.demo = state.demo;
  session.doors = state.doors ?? [];
  session.ready = true;
}

/** The start values and the live socket; pages inside the frame may count on both. */
export async function loadBoot(): Promise<Boot> {
  const boot = await api.get<Boot>('/api/boot');
  session.boot = boot;
  session.user = boot.user;
  live.start(boot.head);
  return boot;
}

interface SignedIn {
  user: User;
  csrf: string;
  opens?: string;
}

async function signedIn(answer: SignedIn): Promise<void> {
  live.stop();
  setCsrf(answer.csrf);
  session.user = answer.user;
  session.boot = null;
  await loadSession();
}

export async function signIn(login: string, password: string, totp?: string): Promise<void> {
  await signedIn(await api.post<SignedIn>('/api/session', { login, password, ...(totp ? { totp } : {}) }));
}

/** Demo only: be the person of that door. Gives the page the door opens. */
export async function enterDoor(key: string): Promise<string> {
  const answer = await api.post<SignedIn>(`/api/demo/doors/${encodeURIComponent(key)}`);
  await signedIn(answer);
  return answer.opens ?? '/console';
}

export async function signOut(): Promise<void> {
  await api.delete('/api/session');
  live.stop();
  session.user = null;
  session.boot = null;
  await loadSession();
}

/** Where somebody starts: whoever may not read the log but administers, among the administrators' pages. */
export function home(): string {
  return session.user?.administrator && !may('interaction.read') ? '/admin' : '/console';
}

/** Whether the signed-in person may do it; the server checks again. */
export function may(action: string): boolean {
  return session.user?.actions.includes(action) ?? false;
}

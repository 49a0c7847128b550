// What somebody began to write to a party: kept in this tab until it is sent, with what they had seen by then.

export interface Draft {
  text: string;
  mode: 'reply' | 'note';
  /** The newest line on the screen when the writing began; a later answer by a colleague makes it stale. */
  seen: number;
}

const name = (party: string): string => `switchboard.draft.${party}`;

export function keptDraft(party: string): Draft | null {
  try {
    return JSON.parse(sessionStorage.getItem(name(party)) ?? 'null') as Draft | null;
  } catch {
    return null;
  }
}

export function keepDraft(party: string, draft: Draft): void {
  if (draft.text) sessionStorage.setItem(name(party), JSON.stringify(draft));
  else sessionStorage.removeItem(name(party));
}

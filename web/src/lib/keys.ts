// Keyboard shortcuts: single keys, sequences like "g o", and Ctrl combinations; they rest while one types.

export interface Shortcut {
  /** `j`, `shift+e`, `ctrl+k`, `g o`, `?` */
  keys: string;
  run: (event: KeyboardEvent) => void;
  /** Also while a text field has the focus; only for combinations with Ctrl. */
  always?: boolean;
}

const SEQUENCE_MS = 1000;

export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

/** The key as shortcuts name it. Ctrl and Command are the same here. */
export function chord(event: Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'metaKey' | 'shiftKey' | 'altKey'>): string {
  const key = event.key === ' ' ? 'space' : event.key.toLowerCase();
  const letter = /^[a-z]$/.test(key);
  return [
    event.ctrlKey || event.metaKey ? 'ctrl+' : '',
    event.altKey ? 'alt+' : '',
    // Signs such as "?" already say that Shift was held.
    event.shiftKey && (letter || key.length > 1) ? 'shift+' : '',
    key,
  ].join('');
}

export function shortcuts(list: () => Shortcut[], target: EventTarget = window): () => void {
  let before: { chord: string; at: number } | null = null;
  const onKey = (event: Event): void => {
    if (!(event instanceof KeyboardEvent) || event.defaultPrevented) return;
    // keyCode 229 is what browsers give while an input method has the key.
    if (event.isComposing || event.keyCode === 229) return;
    if (['Shift', 'Control', 'Alt', 'Meta'].includes(event.key)) return;
    const pressed = chord(event);
    const typing = isTyping(event.target);
    const inDialog = document.querySelector('dialog[open]') !== null;
    const sequence = before && event.timeStamp - before.at < SEQUENCE_MS ? `${before.chord} ${pressed}` : null;
    const usable = list().filter((item) => item.always || (!typing && !inDialog));
    const found = usable.find((item) => item.keys === sequence) ?? usable.find((item) => item.keys === pressed);
    before = typing ? null : { chord: pressed, at: event.timeStamp };
    if (!found) return;
    before = null;
    event.preventDefault();
    found.run(event);
  };
  target.addEventListener('keydown', onKey);
  return () => target.removeEventListener('keydown', onKey);
}

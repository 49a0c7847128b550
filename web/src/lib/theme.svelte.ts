// Light, dark, or as the machine says.

export type Theme = 'auto' | 'light' | 'dark';
const STORED = 'switchboard.theme';

function kept(): Theme {
  const value = localStorage.getItem(STORED);
  return value === 'light' || value === 'dark' ? value : 'auto';
}

const chosen = $state<{ theme: Theme }>({ theme: kept() });

export function theme(): Theme {
  return chosen.theme;
}

export function setTheme(next: Theme): void {
  chosen.theme = next;
  if (next === 'auto') {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(STORED);
  } else {
    document.documentElement.dataset.theme = next;
    localStorage.setItem(STORED, next);
  }
}

/** Before the first paint of the page's own content. */
export function applyTheme(): void {
  if (chosen.theme !== 'auto') document.documentElement.dataset.theme = chosen.theme;
}

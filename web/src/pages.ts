// Which page an address opens. Each page is its own chunk, loaded when it is first needed.
import type { Component } from 'svelte';

export interface Page {
  file: string;
  /** `frame`: signed in, with the rail. `plain`: the page stands alone. */
  shell: 'frame' | 'plain';
  /** For administrators, who need not read the log: the page brings its own data. */
  office?: boolean;
  /** Also stands alone, for somebody signed in who may not read the log: the demo's shopkeeper. */
  alone?: boolean;
}

const files = import.meta.glob<{ default: Component }>([
  './signin/SignInPage.svelte',
  './admin/AdminPage.svelte',
  './console/ConsolePage.svelte',
  './collection/CollectionPage.svelte',
  './phone/SimulatorPage.svelte',
  './doors/DoorsPage.svelte',
  './doors/SideBySidePage.svelte',
]);

const PAGES: Record<string, Page> = {
  '': { file: './doors/DoorsPage.svelte', shell: 'plain' },
  signin: { file: './signin/SignInPage.svelte', shell: 'plain' },
  console: { file: './console/ConsolePage.svelte', shell: 'frame' },
  collection: { file: './collection/CollectionPage.svelte', shell: 'frame' },
  admin: { file: './admin/AdminPage.svelte', shell: 'frame', office: true },
  simulator: { file: './phone/SimulatorPage.svelte', shell: 'frame', alone: true },
  'side-by-side': { file: './doors/SideBySidePage.svelte', shell: 'frame' },
};

export function pageAt(parts: readonly string[]): Page | null {
  return PAGES[parts[0] ?? ''] ?? null;
}

export async function loadPage(page: Page): Promise<Component | null> {
  const load = files[page.file];
  return load ? (await load()).default : null;
}

// The address bar: which page is shown, and moving between pages without a reload.

const here = $state({ path: location.pathname, search: location.search });

window.addEventListener('popstate', () => {
  here.path = location.pathname;
  here.search = location.search;
});

export const route = {
  get path(): string {
    return here.path;
  },
  get query(): URLSearchParams {
    return new URLSearchParams(here.search);
  },
  /** The path cut at its slashes: `/console/abc` gives `["console", "abc"]`. */
  get parts(): string[] {
    return here.path.split('/').filter(Boolean).map(decodeURIComponent);
  },
};

export function go(to: string, options: { replace?: boolean } = {}): void {
  const url = new URL(to, location.href);
  if (url.pathname === here.path && url.search === here.search) return;
  history[options.replace ? 'replaceState' : 'pushState'](null, '', url.pathname + url.search);
  here.path = url.pathname;
  here.search = url.search;
}

/** Ordinary links stay ordinary (middle click, copy address); a plain click moves inside the page. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const link = (event.target as Element | null)?.closest('a');
  if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
  if (link.pathname.startsWith('/api/') || link.hash) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

// The present, as pages show it: moves on twice a minute so that waits and dates stay true.

const ticking = $state({ now: Date.now() });
setInterval(() => (ticking.now = Date.now()), 30_000);

export function now(): number {
  return ticking.now;
}

// How many SMS a text becomes: GSM-7 with its extension table, else UCS-2, as the network counts.

// 3GPP TS 23.038, 6.2.1: the basic table, and the signs that cost two because an escape stands before them.
const BASIC =
  '@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&\'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà';
const EXTENDED = '\f^{}\\[~]|€';

const COST = new Map<string, number>([
  ...Array.from(BASIC, (sign): [string, number] => [sign, 1]),
  ...Array.from(EXTENDED, (sign): [string, number] => [sign, 2]),
]);

export interface Segments {
  encoding: 'gsm7' | 'ucs2';
  /** Septets, or UTF-16 code units. */
  units: number;
  parts: number;
  /** Units free in the last part. */
  left: number;
}

/** A sign is never cut in two: neither an escape pair nor a surrogate pair. */
function fill(costs: readonly number[], single: number, joined: number): { parts: number; left: number } {
  const units = costs.reduce((sum, cost) => sum + cost, 0);
  if (units <= single) return { parts: units ? 1 : 0, left: single - units };
  let parts = 1;
  let used = 0;
  for (const cost of costs) {
    if (used + cost > joined) {
      parts += 1;
      used = 0;
    }
    used += cost;
  }
  return { parts, left: joined - used };
}

export function segments(text: string): Segments {
  const signs = Array.from(text);
  const septets = signs.map((sign) => COST.get(sign) ?? 0);
  if (septets.every((cost) => cost > 0)) {
    const units = septets.reduce((sum, cost) => sum + cost, 0);
    return { encoding: 'gsm7', units, ...fill(septets, 160, 153) };
  }
  return {
    encoding: 'ucs2',
    units: text.length,
    ...fill(
      signs.map((sign) => sign.length),
      70,
      67,
    ),
  };
}

// The times a conversation can be put off to: sensible presets, as instants.

export interface Later {
  key: 'hours' | 'tomorrow' | 'monday' | 'week';
  at: Date;
}

const MORNING = 9;

export function laterTimes(now: Date): Later[] {
  const morning = (days: number): Date => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, MORNING);
  // Sunday is 0; on a Monday "next Monday" is a week away.
  const toMonday = (8 - now.getDay()) % 7 || 7;
  const times: Later[] = [
    { key: 'hours', at: new Date(now.getTime() + 3 * 3_600_000) },
    { key: 'tomorrow', at: morning(1) },
    { key: 'monday', at: morning(toMonday) },
    { key: 'week', at: morning(7) },
  ];
  const seen = new Set<number>();
  return times.filter(({ at }) => !seen.has(at.getTime()) && seen.add(at.getTime()));
}

// Merging live frames: list rows by party, the newest wins; timeline lines never merge.
import type { Frame, Row } from './types';

export function coalesce(frames: readonly Frame[]): Frame {
  const merged: Frame = { head: 0 };
  const rows = new Map<string, Row>();
  const gone = new Set<string>();
  for (const frame of frames) {
    merged.head = Math.max(merged.head, frame.head ?? 0);
    if (frame.at) merged.at = frame.at;
    for (const row of frame.rows ?? []) {
      const known = rows.get(row.party);
      if (!known || row.version >= known.version) rows.set(row.party, row);
      gone.delete(row.party);
    }
    for (const party of frame.gone ?? []) {
      rows.delete(party);
      gone.add(party);
    }
    if (frame.lines?.length) (merged.lines ??= []).push(...frame.lines);
    if (frame.phone?.length) (merged.phone ??= []).push(...frame.phone);
    if (frame.figures?.length) (merged.figures ??= []).push(...frame.figures);
    if (frame.counts) merged.counts = frame.counts;
    if (frame.mine !== undefined) merged.mine = frame.mine;
    if (frame.presence) merged.presence = { ...merged.presence, ...frame.presence };
    if (frame.service) merged.service = frame.service;
    if (frame.reload) merged.reload = true;
  }
  if (rows.size) merged.rows = [...rows.values()];
  if (gone.size) merged.gone = [...gone];
  return merged;
}

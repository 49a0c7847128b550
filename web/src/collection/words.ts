// How the collection desk says its states, on the page and to a screen reader.
import { t } from '$lib/i18n.svelte';
import type { Cell, Column, Filter, PastState, ShopState } from './figures';

export function filterTitle(filter: Filter): string {
  return { expected: t('Expected'), received: t('Received'), suspect: t('Suspect'), missing: t('Missing') }[filter];
}

export function shopStateTitle(state: ShopState): string {
  return { received: t('Received'), partial: t('Partly received'), suspect: t('Suspect'), missing: t('Missing') }[state];
}

export function figureStateTitle(state: PastState): string {
  return {
    accepted: t('Accepted'),
    held: t('Held'),
    corrected: t('Corrected'),
    withdrawn: t('Withdrawn'),
    rejected: t('Rejected'),
    replaced: t('Replaced'),
  }[state];
}

export function columnTitle({ product, field }: Column): string {
  return `${product.name} ${field.title}`;
}

/** What a cell says aloud: its column is read by the grid itself. */
export function saidOf(cell: Cell | null, expected: boolean): string {
  if (!cell) return expected ? t('not reported') : t('not asked');
  return cell.state === 'accepted' ? cell.display : `${cell.display}, ${figureStateTitle(cell.state)}`;
}

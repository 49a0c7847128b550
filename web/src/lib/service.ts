// What people are told when the server works without its database, or has just got it back.
import { t } from './i18n.svelte';
import type { Service } from './types';

export function serviceNotice({ database, spooled }: Service): string {
  if (database === 'away') {
    return spooled > 0
      ? t(
          'The database is away. New messages are kept safe ({count} so far) and will appear. Answering is not possible for now.',
          { count: spooled },
        )
      : t('The database is away. New messages are kept safe and will appear. Answering is not possible for now.');
  }
  return spooled > 0
    ? t('The database is back. Messages that were kept meanwhile ({count}) are appearing now.', { count: spooled })
    : '';
}

// What the banner says while the server works without its database.
import { expect, test } from 'vitest';
import { serviceNotice } from '../src/lib/service';
import type { Service } from '../src/lib/types';

test.each<[Service, RegExp]>([
  [{ database: 'ok', spooled: 0 }, /^$/],
  [{ database: 'away', spooled: 0 }, /kept safe and will appear\. Answering is not possible/],
  [{ database: 'away', spooled: 12 }, /kept safe \(12 so far\) and will appear\. Answering is not possible/],
  [{ database: 'ok', spooled: 3 }, /is back.*\(3\) are appearing/],
])('%j is said', (service, words) => {
  expect(serviceNotice(service)).toMatch(words);
});

// The browser counts segments as the sender does: both read the same table of cases.
import { expect, test } from 'vitest';
import file from '../../tests/channels/sms/fixtures/segments.json';
import { segments, type Segments } from '../src/lib/segments';

interface Case extends Segments {
  text: string;
}
const cases = file as Case[];

test.each(cases.map((one) => [one.text.slice(0, 24), one] as const))('%j is counted as the network does', (_, one) => {
  const { text, encoding, units, parts, left } = one;
  expect(segments(text)).toEqual({ encoding, units, parts, left });
});

// Every word of the pages and of the server has both Chinese forms, and the forms keep the same blanks to fill.
import { describe, expect, test } from 'vitest';
// @ts-expect-error a script for Node, without types
import { parsePo, readCatalogue, serverIds, serverSources, usedIds } from '../scripts/locale.mjs';

interface Entry {
  id: string;
  plural: string;
  forms: string[];
}
const blanks = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map((found) => found[0]).sort();

describe.each(['zh_Hans', 'zh_Hant'])('the catalogue %s', (folder) => {
  const entries = readCatalogue(folder) as Entry[];
  const byId = new Map(entries.map((entry) => [entry.id, entry]));

  test('has every word the pages use', () => {
    const missing = [...(usedIds() as Map<string, string>).keys()].filter((id) => !byId.get(id)?.forms[0]);
    expect(missing).toEqual([]);
  });

  test('has every word the server says', () => {
    const missing = [...(serverIds() as Map<string, string>).keys()].filter((id) => !byId.get(id)?.forms[0]);
    expect(missing).toEqual([]);
  });

  test('has no word that neither the pages nor the server say', () => {
    // A long sentence may be cut in two in the source.
    const server = [...(serverSources() as Map<string, string>).values()].join('\n').replace(/"\s*\n\s*"/g, '');
    const pages = usedIds() as Map<string, string>;
    const unused = [...byId.keys()].filter((id) => !pages.has(id) && !server.includes(JSON.stringify(id)));
    expect(unused).toEqual([]);
  });

  test('keeps the blanks of each sentence', () => {
    const wrong = entries.filter((entry) =>
      entry.forms.some((form) => form && blanks(form).join() !== blanks(entry.id).join()),
    );
    expect(wrong.map((entry) => entry.id)).toEqual([]);
  });

  test('says each word once', () => {
    expect(entries.length).toBe(byId.size);
  });
});

test('a catalogue with a broken line is refused with its number', () => {
  expect(() => parsePo('msgid "a"\nmsgstr b\n')).toThrow('line 2');
});

// Compiles the gettext catalogues in locale/ to JSON for the browser, and says which words are missing.
// `node scripts/locale.mjs` compiles; with --check it fails when a translation is missing or unused.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const LOCALES = { zh_Hans: 'zh-Hans', zh_Hant: 'zh-Hant', en: 'en' };

/** Entries of a .po file: {id, plural, forms}; comments and the header are dropped. */
export function parsePo(text) {
  const entries = [];
  let entry = null;
  let field = null;
  const finish = () => {
    if (entry?.id) entries.push(entry);
    entry = null;
    field = null;
  };
  for (const [number, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (!line) {
      finish();
      continue;
    }
    if (line.startsWith('#')) continue;
    const found = /^(msgid|msgid_plural|msgstr(?:\[\d+\])?)?\s*("(?:[^"\\]|\\.)*")$/.exec(line);
    if (!found || (!found[1] && !field)) throw new Error(`line ${number + 1} is not gettext: ${line}`);
    if (found[1] === 'msgid') {
      finish();
      entry = { id: '', plural: '', forms: [] };
    }
    if (found[1]) field = found[1];
    const part = JSON.parse(found[2]);
    if (field === 'msgid') entry.id += part;
    else if (field === 'msgid_plural') entry.plural += part;
    else {
      const place = Number(/\d+/.exec(field)?.[0] ?? 0);
      entry.forms[place] = (entry.forms[place] ?? '') + part;
    }
  }
  finish();
  return entries;
}

/** The JSON the pages read; a word without a translation is left out, so the English shows. */
export function compile(entries) {
  const catalogue = {};
  for (const { id, plural, forms } of entries) {
    if (!forms.some(Boolean)) continue;
    catalogue[id] = plural ? forms : forms[0];
  }
  return catalogue;
}

/** Every message id the sources use, with the file that uses it. */
export function usedIds(folder = join(root, 'src')) {
  const used = new Map();
  for (const item of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    // The file that defines t() shows examples only.
    if (!item.isFile() || !/\.(svelte|ts)$/.test(item.name) || item.name === 'i18n.svelte.ts') continue;
    const path = join(item.parentPath, item.name);
    const source = readFileSync(path, 'utf8');
    for (const found of source.matchAll(/\b(tn?|msgid)\(\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")/g)) {
      const quoted = found[2];
      const id = quoted.startsWith("'")
        ? JSON.parse(`"${quoted.slice(1, -1).replaceAll("\\'", "'").replaceAll('"', '\\"')}"`)
        : JSON.parse(quoted);
      if (!used.has(id)) used.set(id, path.slice(root.length + 1));
    }
  }
  return used;
}

export function readCatalogue(name) {
  return parsePo(readFileSync(join(root, 'locale', name, 'messages.po'), 'utf8'));
}

function main() {
  mkdirSync(join(root, 'src', 'generated'), { recursive: true });
  const used = usedIds();
  let wrong = 0;
  for (const [folder, tag] of Object.entries(LOCALES)) {
    const entries = readCatalogue(folder);
    const catalogue = compile(entries);
    writeFileSync(join(root, 'src', 'generated', `${tag}.json`), JSON.stringify(catalogue) + '\n');
    if (tag === 'en') continue;
    for (const [id, path] of used) {
      if (catalogue[id] === undefined) {
        wrong += 1;
        console.warn(`${folder}: no translation of ${JSON.stringify(id)} (${path})`);
      }
    }
  }
  if (wrong && process.argv.includes('--check')) process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();

// Compiles the gettext catalogues in locale/ to JSON for the browser, and says which words are missing:
// those of the pages, and those that the server says from the same catalogues.
// `node scripts/locale.mjs` compiles; with --check it fails when a translation is missing or unused.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const SERVER = ['core', 'crm', 'workers'].map((folder) => join(root, '..', folder));
const QUOTED = '"([^"]*)"';
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

/** Every Python source of the server, by path. */
export function serverSources() {
  const sources = new Map();
  for (const folder of SERVER) {
    if (!existsSync(folder)) continue;
    for (const item of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!item.isFile() || !item.name.endsWith('.py')) continue;
      const path = join(item.parentPath, item.name);
      sources.set(relative(join(root, '..'), path), readFileSync(path, 'utf8'));
    }
  }
  return sources;
}

/** Message ids that the server says: literal ones, and the names in its vocabularies and column titles. */
export function serverIds(sources = serverSources()) {
  const used = new Map();
  const add = (id, path) => used.has(id) || used.set(id, path);
  for (const [path, source] of sources) {
    for (const found of source.matchAll(new RegExp(String.raw`\b(?:say|_wrong)\(\s*(?:[\w.()]+,\s*)?${QUOTED}`, 'g'))) {
      add(found[1], path);
    }
    if (!/(vocabulary|export)\.py$/.test(path)) continue;
    for (const found of source.matchAll(new RegExp(String.raw`^\s+(?:"[\w.]+": )?"([A-Z][^"]*)",$`, 'gm'))) add(found[1], path);
    for (const found of source.matchAll(/\(("[A-Z][^"]*"(?:, )?)+\)/g)) {
      for (const [, id] of found[0].matchAll(/"([^"]*)"/g)) add(id, path);
    }
  }
  return used;
}

export function readCatalogue(name) {
  return parsePo(readFileSync(join(root, 'locale', name, 'messages.po'), 'utf8'));
}

function main() {
  mkdirSync(join(root, 'src', 'generated'), { recursive: true });
  const pages = usedIds();
  const used = new Map([...serverIds(), ...pages]);
  let wrong = 0;
  for (const [folder, tag] of Object.entries(LOCALES)) {
    const entries = readCatalogue(folder);
    const catalogue = compile(entries);
    // The server reads its words itself; browsers load only those of the pages.
    const shown = compile(entries.filter((entry) => pages.has(entry.id)));
    writeFileSync(join(root, 'src', 'generated', `${tag}.json`), JSON.stringify(shown) + '\n');
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

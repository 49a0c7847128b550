// A pretend server for looking at the pages without the real one: dist/, the API and the live socket.
// PORT (default 8090), RATE (live messages a second, default 0.3); POST /mock/rate?value=200 changes it.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { boot, ME, pick, World } from './mock-data.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const dist = process.env.DIST ?? join(here, '..', 'dist');
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' };
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const world = new World();
const mock = { world, signedIn: process.env.SIGNED_IN !== '0', rate: Number(process.env.RATE ?? 0.3), sockets: new Set(), away: false, broadcast, localeOf };
const extra = existsSync(join(here, 'mock-collection.mjs')) ? await import(pathToFileURL(join(here, 'mock-collection.mjs')).href) : null;
const collection = extra?.createCollection((frame) => broadcast(frame), world, announce) ?? null;

class Refused extends Error {
  constructor(status, code, message, detail = {}) {
    super(message);
    Object.assign(this, { status, code, detail });
  }
}

function localeOf(request) {
  return String(request.headers['accept-language'] ?? 'en').startsWith('zh') ? String(request.headers['accept-language']).split(',')[0] : 'en';
}

const partyOf = (id) => world.parties.get(id) ?? (() => { throw new Refused(404, 'not_found', 'No such party.'); })();

function announce(party, lines) {
  broadcast({ head: world.seq, lines, row: world.row(party), counts: world.counts() });
}

function broadcast({ row, ...frame }) {
  for (const socket of mock.sockets) {
    const inbox = socket.watch?.inbox;
    const out = { ...frame };
    if (row && inbox) {
      if (world.inView(row, inbox.view, inbox.queue)) out.rows = [row];
      else out.gone = [row.party];
    }
    if (out.lines) out.lines = out.lines.filter((line) => line.party === socket.watch?.party);
    socket.send(out);
  }
}

function act(party, line) {
  announce(party, [line]);
  return { seq: line.seq };
}

const routes = [
  ['GET', '/api/session', (c) => ({
    user: mock.signedIn ? ME : null, csrf: 'csrf', demo: process.env.DEMO !== '0', locale: c.locale, locales: ['zh-Hans', 'zh-Hant', 'en'],
    doors: [
      { key: 'agent', title: pick('客服坐席', 'Call-center agent', c.locale), about: pick('在一条时间线上看短信、回复、建立投诉。', 'Read messages on one timeline, answer, open a case.', c.locale), available: true, opens: '/console' },
      { key: 'clerk', title: pick('信息采集员', 'Collection clerk', c.locale), about: pick('看本周谁报了数，确认存疑的数字。', 'See who reported this week and settle doubtful figures.', c.locale), available: true, opens: '/collection' },
      { key: 'shop', title: pick('零售店主', 'Shopkeeper', c.locale), about: pick('用一部模拟手机发短信报库存。', 'Report stock by SMS from a pretend phone.', c.locale), available: true, opens: '/simulator' },
      { key: 'rep', title: pick('访销员', 'Sales rep', c.locale), about: pick('今天要拜访的店。', 'Today’s visits.', c.locale), available: false, opens: '/' },
    ],
  })],
  ['POST', '/api/session', (c) => {
    if (c.body.login === 'busy') throw new Refused(429, 'too_many_requests', 'Too many attempts.', { retry_after: 30 });
    if (c.body.password === 'wrong') throw new Refused(401, 'bad_credentials', 'Login or password is not right.');
    if (c.body.login === 'two' && !c.body.totp) throw new Refused(401, 'totp_required', 'A code is needed.');
    mock.signedIn = true;
    return { user: ME, csrf: 'csrf' };
  }],
  ['DELETE', '/api/session', () => ((mock.signedIn = false), {})],
  ['POST', '/api/demo/doors/:key', () => ((mock.signedIn = true), { user: ME, csrf: 'csrf', opens: '/console' })],
  ['POST', '/api/session/locale', () => ({})],
  ['POST', '/api/session/password', () => ({})],
  ['POST', '/api/session/totp', () => ({ secret: 'JBSWY3DPEHPK3PXPJBSWY3DP', uri: 'otpauth://totp/Switchboard:lin?secret=JBSWY3DPEHPK3PXP' })],
  ['POST', '/api/session/totp/confirm', () => ({})],
  ['GET', '/api/boot', (c) => boot(c.locale, world.seq)],
  ['GET', '/api/inbox', (c) => {
    const view = c.query.get('view') ?? 'open';
    const queue = c.query.get('queue');
    const rows = [...world.parties.values()].map((party) => world.row(party)).filter((row) => world.inView(row, view, queue));
    rows.sort(view === 'all' ? (a, b) => b.last_seq - a.last_seq : (a, b) => String(a.due_at ?? '9').localeCompare(String(b.due_at ?? '9')) || a.last_at.localeCompare(b.last_at));
    const from = Number(c.query.get('after') ?? 0);
    const limit = Number(c.query.get('limit') ?? 50);
    return { rows: rows.slice(from, from + limit), next: from + limit < rows.length ? String(from + limit) : null, head: world.seq, counts: world.counts() };
  }],
  ['GET', '/api/parties/:id', (c) => world.detail(partyOf(c.id))],
  ['GET', '/api/parties/:id/timeline', (c) => {
    const before = Number(c.query.get('before') ?? Infinity);
    const limit = Number(c.query.get('limit') ?? 50);
    const older = world.lines.get(partyOf(c.id).id).filter((line) => line.seq < before);
    const lines = older.slice(-limit);
    return { lines, next: older.length > lines.length ? lines[0].seq : null, head: world.seq };
  }],
  ['POST', '/api/parties/:id/reply', (c) => {
    const party = partyOf(c.id);
    const newer = world.lines.get(party.id).filter((line) => line.seq > c.body.seen_seq && line.direction === 'out' && line.author && line.author.id !== ME.id);
    if (newer.length && !c.body.force) throw new Refused(409, 'answered_meanwhile', 'Someone answered meanwhile.', { lines: newer });
    party.assignee ??= { id: ME.id, name: ME.name };
    const line = world.answer(party, c.body.text, { author: { id: ME.id, name: ME.name }, delivery: 'queued' });
    setTimeout(() => {
      line.delivery = { state: 'delivered', label: '已送达', error: null };
      announce(party, [line]);
    }, 1200).unref();
    return act(party, line);
  }],
  ['POST', '/api/parties/:id/notes', (c) => act(partyOf(c.id), world.note(partyOf(c.id), c.body.text))],
  ['POST', '/api/parties/:id/assign', (c) => {
    const party = partyOf(c.id);
    const user = boot(c.locale, 0).users.find((one) => one.id === c.body.user) ?? null;
    party.assignee = user && { id: user.id, name: user.name };
    return act(party, world.event(party, 'assigned', user ? `分派给 ${user.name}` : '取消分派', { author: ME }));
  }],
  ['POST', '/api/parties/:id/resolve', (c) => change(c, 'resolved', 'resolved', '办结')],
  ['POST', '/api/parties/:id/reopen', (c) => change(c, 'open', 'reopened', '重新打开')],
  ['POST', '/api/parties/:id/snooze', (c) => change(c, 'snoozed', 'snoozed', '暂缓')],
  ['POST', '/api/parties/:id/queue', (c) => {
    partyOf(c.id).queue = c.body.queue;
    return act(partyOf(c.id), world.event(partyOf(c.id), 'queued', `转到队列 ${c.body.queue}`, { author: ME }));
  }],
  ['POST', '/api/parties/:id/read', (c) => {
    partyOf(c.id).unread = 0;
    partyOf(c.id).version += 1;
    announce(partyOf(c.id), []);
    return {};
  }],
  ['POST', '/api/parties/:id/merge', (c) => act(partyOf(c.id), world.event(partyOf(c.id), 'merged', '合并', { author: ME }))],
  ['POST', '/api/parties/:id/unmerge', (c) => act(partyOf(c.id), world.event(partyOf(c.id), 'unmerged', '撤销合并', { author: ME }))],
  ['POST', '/api/parties/:id/bind', (c) => act(partyOf(c.id), world.event(partyOf(c.id), 'bound', '绑定号码', { author: ME }))],
  ['POST', '/api/parties/:id/cases', (c) => {
    const party = partyOf(c.id);
    const kind = boot(c.locale, 0).case_kinds.find((one) => one.key === c.body.kind);
    const number = `C-26-${2000 + world.seq % 1000}`;
    party.cases.unshift({ id: `case-${world.seq}`, number, kind: kind.key, kind_title: kind.title, title: c.body.title, state: 'new', state_title: '新建', opened_at: new Date().toISOString(), due_at: null, severity: c.body.severity ?? 1, steps: [{ state: 'in_work', title: '处理中' }] });
    return act(party, world.event(party, 'case_opened', `建立${kind.title} ${number}`, { author: ME }));
  }],
  ['POST', '/api/cases/:id/state', (c) => {
    for (const party of world.parties.values()) {
      const found = party.cases.find((one) => one.id === c.id);
      if (!found) continue;
      found.state = c.body.state;
      found.state_title = boot(c.locale, 0).case_states.find((one) => one.key === c.body.state).title;
      return act(party, world.event(party, 'case_state', `${found.number} → ${found.state_title}`, { author: ME }));
    }
    throw new Refused(404, 'not_found', 'No such case.');
  }],
  ['GET', '/api/search', (c) => {
    const q = (c.query.get('q') ?? '').trim();
    const all = [...world.parties.values()];
    const start = (text) => Array.from(text.slice(0, text.indexOf(q))).length;
    return {
      parties: all.filter((party) => party.name.includes(q) || party.licence.includes(q)).slice(0, 8).map((party) => ({ id: party.id, name: party.name, kind: party.kind, kind_title: '零售户', territory: party.territory, hint: party.licence })),
      lines: all.flatMap((party) => world.lines.get(party.id).filter((line) => line.text?.includes(q)).map((line) => ({ seq: line.seq, party: party.id, name: party.name, at: line.at, channel: 'sms', direction: line.direction, text: line.text, marks: [[start(line.text), start(line.text) + Array.from(q).length]] }))).sort((a, b) => b.seq - a.seq).slice(0, 20),
      cases: all.flatMap((party) => party.cases.filter((one) => one.title.includes(q) || one.number.includes(q)).map((one) => ({ id: one.id, number: one.number, title: one.title, party: party.id, name: party.name, state: one.state_title }))),
    };
  }],
  ['POST', '/mock/rate', (c) => ((mock.rate = Number(c.query.get('value'))), {})],
  ['POST', '/mock/away', (c) => ((mock.away = c.query.get('value') === '1'), [...mock.sockets].forEach((socket) => mock.away && socket.end()), {})],
  ['POST', '/mock/other', (c) => {
    const party = partyOf(c.query.get('party'));
    return act(party, world.answer(party, '您好，这件事我已经跟进了，明天答复您。', { author: { id: 'u-2', name: '陈立' } }));
  }],
];

function change(c, state, name, label) {
  const party = partyOf(c.id);
  party.state = state;
  return act(party, world.event(party, name, label, { author: ME }));
}

function match(method, path) {
  for (const [verb, pattern, run] of routes) {
    if (verb !== method) continue;
    const names = [];
    const found = new RegExp(`^${pattern.replace(/:(\w+)/g, (_, name) => (names.push(name), '([^/]+)'))}$`).exec(path);
    if (found) return { run, params: Object.fromEntries(names.map((name, k) => [name, decodeURIComponent(found[k + 1])])) };
  }
  return null;
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://local');
  if (url.pathname.startsWith('/api/') || url.pathname.startsWith('/mock/')) {
    let text = '';
    request.on('data', (part) => (text += part));
    request.on('end', async () => {
      const send = (status, value) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(value));
      };
      try {
        if (mock.away && url.pathname.startsWith('/api/')) return request.socket.destroy();
        const body = text ? JSON.parse(text) : {};
        const other = collection?.handle(request.method, url.pathname, url.searchParams, body);
        if (other) return send(...other);
        const found = match(request.method, url.pathname);
        if (!found) throw new Refused(404, 'not_found', 'There is no such address.');
        send(200, await found.run({ ...found.params, query: url.searchParams, body, locale: localeOf(request), request, response }));
      } catch (error) {
        send(error.status ?? 500, { error: { code: error.code ?? 'internal', message: error.message, detail: error.detail ?? {} } });
      }
    });
    return;
  }
  const wanted = join(dist, normalize(url.pathname));
  const path = extname(wanted) && existsSync(wanted) ? wanted : join(dist, 'index.html');
  response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream', 'content-security-policy': POLICY });
  response.end(readFileSync(path));
});

/** Just enough of RFC 6455 for one page: text frames, ping by the page itself, close. */
server.on('upgrade', (request, stream) => {
  if (mock.away) return stream.destroy();
  const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  stream.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  const socket = {
    watch: null,
    send(value) {
      const body = Buffer.from(JSON.stringify(value));
      const size = body.length < 126 ? Buffer.from([0x81, body.length]) : body.length < 65536 ? Buffer.from([0x81, 126, body.length >> 8, body.length & 255]) : Buffer.concat([Buffer.from([0x81, 127]), (() => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(body.length)); return b; })()]);
      stream.write(Buffer.concat([size, body]));
    },
    end: () => stream.destroy(),
  };
  mock.sockets.add(socket);
  let rest = Buffer.alloc(0);
  stream.on('data', (part) => {
    rest = Buffer.concat([rest, part]);
    while (rest.length >= 6) {
      let size = rest[1] & 127;
      let at = 2;
      if (size === 126) [size, at] = [rest.readUInt16BE(2), 4];
      if (rest.length < at + 4 + size) return;
      const key = rest.subarray(at, at + 4);
      const body = Buffer.from(rest.subarray(at + 4, at + 4 + size)).map((byte, k) => byte ^ key[k % 4]);
      const code = rest[0] & 15;
      rest = rest.subarray(at + 4 + size);
      if (code === 8) return stream.end();
      if (code !== 1) continue;
      const message = JSON.parse(body.toString());
      if (message.op === 'watch') {
        socket.watch = message;
        if (message.party) socket.send({ head: world.seq, presence: { [message.party]: [{ id: 'u-2', name: '陈立', state: 'looking' }] } });
      }
      if (message.op === 'hello') socket.send({ head: world.seq, at: new Date().toISOString() });
    }
  });
  stream.on('close', () => mock.sockets.delete(socket));
  stream.on('error', () => mock.sockets.delete(socket));
});

setInterval(() => mock.sockets.forEach((socket) => socket.send({ head: world.seq, at: new Date().toISOString() })), 5000).unref();
const TEXTS = ['KC 101 3;102 5', '断货 101 102', '库存 楚岚硬三条', 'Y', '请问新品什么时候上？', 'JG 101 10.5'];
let owed = 0;
setInterval(() => {
  owed += mock.rate / 20;
  const all = [...world.parties.values()];
  for (; owed >= 1; owed -= 1) {
    const party = all[Math.floor(Math.random() * all.length)];
    announce(party, [world.say(party, TEXTS[world.seq % TEXTS.length])]);
  }
}, 50);

const port = Number(process.env.PORT ?? 8090);
server.listen(port, '127.0.0.1', () => console.log(`mock on http://127.0.0.1:${port}`));

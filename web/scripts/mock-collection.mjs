// The collection desk, the simulator's phones and the doors of the development mock server: made-up shops and figures.
import { randomUUID } from 'node:crypto';

const SHOPS = 300;
const FORM = 'weekly_terminal';
const FIELDS = [
  { id: 'stock', title: '库存', type: 'quantity', unit: '条' },
  { id: 'price', title: '零售价', type: 'money', unit: '元/盒' },
];
const PRODUCTS = [
  ['101', '楚岚(硬)', 10],
  ['102', '楚岚(软)', 16],
  ['103', '楚岚(细支)', 20],
  ['104', '江陵月(硬)', 25],
  ['105', '江陵月(软)', 32],
  ['106', '白云渡(软)', 7],
  ['107', '白云渡(细支)', 12],
  ['108', '江陵月(中支)', 45],
  ['201', '南屏(硬)', 13],
  ['202', '南屏(软)', 22],
  ['203', '赤谷(硬)', 9],
  ['204', '赤谷(细支)', 18],
].map(([sku, name, guide]) => ({ sku, name, short: sku, own: sku < '200', guide }));
const SURNAMES = '陈李张刘杨黄赵吴周徐孙马朱胡郭何林罗高郑';
const WORDS = ['顺发', '老街', '城南', '桥头', '红旗', '惠民', '好又来', '聚福', '河口', '新村', '平安', '金穗', '三岔口', '东门'];
const SORTS = ['便民店', '烟酒行', '食杂店', '超市', '便利店', '商店'];
const TERRITORIES = [
  { key: 'ya', title: '岚城市' },
  { key: 'yb', title: '江陵市' },
  { key: 'yc', title: '云渡市' },
  { key: 'yd', title: '白河市' },
  { key: 'ye', title: '石门市' },
  { key: 'yf', title: '南屏市' },
];
const UNKNOWN = '+8613900099999';

/** A small deterministic generator, so that two looks at the mock show the same shops. */
function dice(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function week(offset) {
  const day = new Date(Date.now() + offset * 7 * 86_400_000);
  const thursday = new Date(day);
  thursday.setUTCDate(day.getUTCDate() + 4 - (day.getUTCDay() || 7));
  const first = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  const number = Math.ceil(((thursday - first) / 86_400_000 + 1) / 7);
  return `${thursday.getUTCFullYear()}-W${String(number).padStart(2, '0')}`;
}

const PERIODS = [0, -1, -2, -3, -4, -5].map((offset) => ({ key: week(offset), title: week(offset).replace('-W', '年第') + '周' }));

const show = (field, value) =>
  field === 'price'
    ? `${(value / 100).toFixed(2)}`
    : value % 10 === 0
      ? `${value / 10}条`
      : value > 10
        ? `${Math.floor(value / 10)}条${value % 10}盒`
        : `${value}盒`;

function buildShops() {
  const roll = dice(20261122);
  return Array.from({ length: SHOPS }, (_, index) => {
    const number = `+86139000${String(index + 1).padStart(5, '0')}`;
    const name = SURNAMES[index % 20] + '记' + WORDS[index % 14] + SORTS[(index * 7) % 6];
    const sold = PRODUCTS.filter(() => roll() < 0.8);
    return {
      party: `p-${index + 1}`,
      name: index === 0 ? '顺发便民店' : index === 1 ? '老街烟酒行' : name,
      licence: `4299${String(1 + (index % 6)).padStart(2, '0')}1${String(10_000 + index * 8).padStart(5, '0')}`,
      territory: TERRITORIES[index % 6].title,
      territoryKey: TERRITORIES[index % 6].key,
      number,
      expects: sold.map((product) => product.sku),
      roll: roll(),
    };
  });
}

function fill(shop, period, age) {
  const roll = dice(Math.floor(shop.roll * 1e9) + age * 7919);
  const cells = {};
  const silent = roll() < (age === 0 ? 0.32 : 0.18);
  const history = {};
  let seq = 1000 + Math.floor(roll() * 9000);
  if (!silent) {
    const at = new Date(Date.now() - age * 7 * 86_400_000 - roll() * 3 * 86_400_000).toISOString();
    const parts = [];
    const spans = {};
    let text = 'KC ';
    for (const sku of shop.expects) {
      if (roll() < 0.1) continue;
      const guide = PRODUCTS.find((product) => product.sku === sku).guide;
      const odd = roll() < 0.015;
      const stock = odd ? 1500 + Math.floor(roll() * 20) * 10 : Math.floor(roll() * roll() * 200);
      const price = Math.round(guide * (0.94 + roll() * 0.14) * 10) * 10;
      const words = `${sku} ${show('stock', stock)} ${show('price', price)}元`;
      spans[sku] = { stock: [text.length, text.length + sku.length + 1 + show('stock', stock).length], price: [text.length, text.length + words.length] };
      text += words + '；';
      parts.push([sku, stock, price, odd]);
    }
    for (const [sku, stock, price, odd] of parts) {
      cells[sku] = {};
      for (const [field, value] of [['stock', stock], ['price', price]]) {
        const observation = randomUUID();
        const held = odd && field === 'stock';
        const corrected = !held && roll() < 0.012;
        cells[sku][field] = { value, display: show(field, value), state: held ? 'held' : corrected ? 'corrected' : 'accepted', warn: held ? 'W_RANGE' : null, observation };
        const source = { seq: seq++, text, span: spans[sku][field], channel: 'sms', at, sender: shop.number.replace(/(\d{3})\d{4}(\d{4})$/, '$1****$2') };
        const line = { observation, value, display: show(field, value), state: held ? 'held' : 'accepted', warn: held ? 'W_RANGE' : null, warn_label: held ? '数量超出常见范围' : null, at, by: null, reason: null, source };
        history[`${sku}/${field}`] = corrected
          ? [{ ...line, state: 'corrected', by: { name: '沈芸' }, reason: '电话核实：店主把盒当条报了', source: null, observation: randomUUID() }, { ...line, value: value * 10, display: show(field, value * 10), state: 'withdrawn' }]
          : [line];
      }
    }
  }
  return { cells, history, received_at: silent ? null : new Date(Date.now() - age * 6e8 - roll() * 2e8).toISOString(), late: !silent && roll() < 0.08 };
}

function stateOf(shop, entry) {
  const got = shop.expects.filter((sku) => entry.cells[sku]);
  const all = Object.values(entry.cells).flatMap((fields) => Object.values(fields));
  if (all.some((cell) => cell.state === 'held')) return 'suspect';
  if (got.length === 0) return 'missing';
  return got.length < shop.expects.length ? 'partial' : 'received';
}

/**
 * `broadcast(frame)` sends a live frame to every socket, `announce(party, lines)` tells the consoles of new lines;
 * `handle` answers the requests that belong here, else null. The console's shops are the first of ours.
 */
export function createCollection(broadcast, world, announce) {
  const shops = buildShops();
  const known = [...world.parties.values()].filter((party) => party.kind === 'retailer');
  known.forEach((party, place) => Object.assign(shops[place], { party: party.id, name: party.name, number: party.phone }));
  const reports = new Map();
  const phones = new Map();
  let traffic = false;
  let seq = 20_000;

  const report = (shop, period) => {
    const key = `${shop.party}|${period}`;
    if (!reports.has(key)) reports.set(key, fill(shop, period, Math.max(0, PERIODS.findIndex((entry) => entry.key === period))));
    return reports.get(key);
  };

  function grid(query) {
    const period = query.get('period') || PERIODS[0].key;
    const wanted = query.get('q') ?? '';
    const here = shops.filter(
      (shop) =>
        (!query.get('territory') || shop.territoryKey === query.get('territory')) &&
        (!wanted || shop.name.includes(wanted) || shop.licence.includes(wanted)),
    );
    const rows = here.map((shop) => {
      const entry = report(shop, period);
      return { party: shop.party, name: shop.name, licence: shop.licence, territory: shop.territory, state: stateOf(shop, entry), received_at: entry.received_at, late: entry.late, cells: entry.cells, expects: shop.expects };
    });
    const count = (...states) => rows.filter((row) => states.includes(row.state)).length;
    const state = query.get('state');
    const kept = rows.filter(
      (row) => !state || state === 'expected' || row.state === state || (state === 'received' && row.state === 'partial'),
    );
    const start = Number(query.get('after') || 0);
    const limit = Number(query.get('limit') || 100);
    return {
      form: FORM,
      period,
      periods: PERIODS,
      fields: FIELDS,
      products: PRODUCTS.map(({ sku, name, short, own }) => ({ sku, name, short, own })),
      totals: { expected: rows.length, received: count('received', 'partial'), suspect: count('suspect'), missing: count('missing') },
      rows: kept.slice(start, start + limit),
      next: start + limit < kept.length ? String(start + limit) : null,
      head: seq,
    };
  }

  const figureOf = (source) => {
    const shop = shops.find((entry) => entry.party === source.party);
    const entry = shop && report(shop, source.period);
    return entry && { shop, entry, key: `${source.sku}/${source.field}` };
  };

  function figure(query) {
    const found = figureOf(Object.fromEntries(query));
    const history = found?.entry.history[found.key] ?? [];
    return { current: found?.entry.cells[query.get('sku')]?.[query.get('field')] ?? null, history };
  }

  function put(shop, period, sku, field, line) {
    const entry = report(shop, period);
    const key = `${sku}/${field}`;
    entry.history[key] = [line, ...(entry.history[key] ?? [])];
    entry.cells[sku] ??= {};
    if (line.state === 'rejected') delete entry.cells[sku][field];
    else entry.cells[sku][field] = { value: line.value, display: line.display, state: line.state, warn: line.warn, observation: line.observation };
    if (Object.keys(entry.cells[sku]).length === 0) delete entry.cells[sku];
    entry.received_at ??= line.at;
    return { party: shop.party, form: FORM, period, sku, field, value: line.value, display: line.display, state: line.state, seq: ++seq };
  }

  function change(body) {
    const found = figureOf(body);
    if (!found) return [404, { error: { code: 'not_found', message: '没有这个数据。', detail: {} } }];
    const history = found.entry.history[found.key] ?? [];
    const was = history[0];
    if (!was || was.observation !== body.observation) return [409, { error: { code: 'conflict', message: '这个数已被更改，请重新查看。', detail: {} } }];
    let value = was.value;
    if (body.verb === 'correct') {
      const typed = Number(body.input);
      value = Math.round(body.field === 'price' ? typed * 100 : typed * 10);
      if (!Number.isFinite(typed) || (body.field === 'stock' && typed > 500)) return [422, { error: { code: 'bad_value', message: '数量超出允许范围（最多 500 条）。', detail: { field: 'input' } } }];
    }
    const state = { accept: 'accepted', correct: 'corrected', reject: 'rejected' }[body.verb];
    const line = { observation: randomUUID(), value, display: show(body.field, value), state, warn: null, warn_label: null, at: new Date().toISOString(), by: { name: '沈芸' }, reason: body.reason ?? null, source: null };
    broadcast({ head: seq + 1, figures: [put(found.shop, body.period, body.sku, body.field, line)] });
    return [200, { seq }];
  }

  const thread = (number) => {
    if (!phones.has(number)) phones.set(number, []);
    return phones.get(number);
  };

  function say(number, direction, text, state, id = randomUUID()) {
    const message = { id, number, direction, text, at: new Date().toISOString(), state };
    thread(number).push(message);
    broadcast({ head: ++seq, phone: [message] });
    return message;
  }

  function answer(number, text) {
    const shop = shops.find((entry) => entry.number === number);
    const party = world.parties.get(shop?.party);
    if (!shop) return say(number, 'received', '【楚岚服务】号码未绑定，回“绑定+许可证号”', 'delivered');
    const items = [...text.matchAll(/(\d{3})\s+(\d+)(?!\d)/g)].filter((match) => PRODUCTS.some((product) => product.sku === match[1]));
    const figures = items.map((match) => {
      const value = Number(match[2]) * 10;
      const held = value > 600;
      const source = { seq: seq + 1, text, span: [match.index, match.index + match[0].length], channel: 'sms', at: new Date().toISOString(), sender: number.replace(/(\d{3})\d{4}(\d{4})$/, '$1****$2') };
      return put(shop, PERIODS[0].key, match[1], 'stock', { observation: randomUUID(), value, display: show('stock', value), state: held ? 'held' : 'accepted', warn: held ? 'W_RANGE' : null, warn_label: held ? '数量超出常见范围' : null, at: source.at, by: null, reason: null, source });
    });
    if (party) {
      const reading = items.map((match, place) => {
        const start = match.index;
        return [match[1], 'stock', figures[place].display, figures[place].value, [start, start + match[0].length], [start + 4, start + match[0].length], figures[place].state];
      });
      announce(party, [world.say(party, text, { reading })]);
    }
    if (figures.length === 0) return say(number, 'received', '【楚岚服务】未看懂，已转人工。回BZ看格式', 'delivered');
    broadcast({ head: ++seq, figures });
    const receipt = String(4000 + (seq % 999));
    const reply = `【楚岚服务】已收#${receipt} ${figures.map((item) => item.sku + ' ' + item.display).join('；')}共${figures.length}项。错了回GZ`;
    if (party) announce(party, [world.answer(party, reply, { automatic: true })]);
    return say(number, 'received', reply, 'delivered');
  }

  const beat = setInterval(() => {
    if (!traffic) return;
    const shop = shops[Math.floor(Math.random() * SHOPS)];
    answer(shop.number, `KC ${shop.expects[0]} ${Math.ceil(Math.random() * 65)} ${shop.expects[1]} ${Math.ceil(Math.random() * 20)}`);
  }, 700);
  beat.unref();

  function phonesFor(query) {
    const wanted = query.get('q') ?? '';
    const list = [...shops.map((shop) => ({ number: shop.number, name: shop.name, party: shop.party, kind: 'retailer', hint: `${shop.territory} · ${shop.licence}` })), { number: UNKNOWN, name: '陌生号码', party: null, kind: 'unknown', hint: '未绑定' }];
    return { phones: list.filter((phone) => !wanted || phone.name.includes(wanted) || phone.number.includes(wanted)).slice(0, 50) };
  }

  function handle(method, path, query, body) {
    const messages = path.match(/^\/api\/simulator\/phones\/([^/]+)\/messages$/);
    const number = messages && decodeURIComponent(messages[1]);
    if (method === 'GET' && path === '/api/collection') return [200, grid(query)];
    if (method === 'GET' && path === '/api/collection/figure') return [200, figure(query)];
    if (method === 'POST' && path === '/api/collection/figure') return change(body);
    if (method === 'GET' && path === '/api/simulator/phones') return [200, phonesFor(query)];
    if (method === 'GET' && number) return [200, { messages: thread(number) }];
    if (method === 'POST' && number) {
      const sent = say(number, 'sent', body.text, 'delivered', body.id);
      setTimeout(() => answer(number, body.text), 450);
      return [200, { id: sent.id }];
    }
    if (path === '/api/simulator/traffic') {
      if (method === 'POST') traffic = body.running;
      return [200, { running: traffic }];
    }
    if (path === '/api/simulator/examples')
      return [
        200,
        {
          examples: [
            { title: '报库存', text: 'KC 101 3;102 12' },
            { title: '用汉字报', text: '库存 楚岚硬三条，楚岚软十五' },
            { title: '报得太多', text: 'KC 103 158' },
            { title: '报零售价', text: 'JG 101 10.5；104 25' },
            { title: '投诉', text: '投诉 102 有几盒受潮' },
            { title: '看格式', text: 'BZ' },
          ],
        },
      ];
    return null;
  }

  return { handle, territories: TERRITORIES, forms: [{ id: FORM, title: '终端周报', fields: FIELDS }], period: PERIODS[0].key };
}

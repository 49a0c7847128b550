// Pretend conversations for looking at the pages: shops, their messages as shops write them, and what was read.

const MINUTE = 60_000;
export const pick = (zh, en, locale) => (locale.startsWith('zh') ? zh : en);

const SHOPS = [
  '顺发便民店', '老街烟酒行', '好邻居超市', '江边小卖部', '福临门食杂店', '金桥便利店', '百姓烟酒商店', '红旗超市', '学府便利店', '兴隆烟酒行',
  '万家乐食杂店', '东门烟酒', '诚信便利店', '水木副食', '荆南商店', '三岔路口超市', '一品烟酒商行', '天天便利', '月湖食杂店', '新街口便利店',
];
const PLACES = ['江城·东湖区', '江城·南浦区', '荆口市·沙洋路', '荆口市·北门镇', '临湖县·白云镇', '临湖县·城关镇'];
export const PRODUCTS = [
  ['101', '楚岚(硬)', '楚岚硬', true, '楚岚'], ['102', '楚岚(软)', '楚岚软', true, '楚岚'], ['103', '楚岚(细支)', '楚岚细', true, '楚岚'],
  ['104', '江陵月(硬)', '江陵硬', true, '江陵月'], ['105', '江陵月(软)', '江陵软', true, '江陵月'], ['106', '白云渡', '白云渡', true, '白云渡'],
  ['107', '白云渡(中支)', '白云中', true, '白云渡'], ['201', '南屏(红)', '南屏红', false, '南屏'], ['202', '南屏(金)', '南屏金', false, '南屏'],
  ['203', '赤谷(硬)', '赤谷硬', false, '赤谷'],
].map(([sku, name, short, own, brand]) => ({ sku, name, short, own, brand }));

const USERS = [
  { id: 'u-1', name: '林晓雯', queues: ['service', 'collection'] },
  { id: 'u-2', name: '陈立', queues: ['service'] },
  { id: 'u-3', name: '赵敏', queues: ['complaints'] },
  { id: 'u-4', name: '周建国', queues: ['collection'] },
];
export const ME = {
  id: 'u-1', login: 'lin', name: '林晓雯', roles: ['agent'], unit: '客户服务中心', queues: ['service', 'collection', 'complaints'],
  actions: ['interaction.read', 'interaction.reply', 'interaction.note', 'interaction.take', 'case.open', 'party.bind', 'party.merge', 'submission.read', 'submission.correct', 'submission.accept'], totp: false,
};
export const QUEUES = (l) => [
  { key: 'service', title: pick('客户服务', 'Service', l) },
  { key: 'collection', title: pick('终端信息', 'Collection', l) },
  { key: 'complaints', title: pick('投诉', 'Complaints', l) },
];

export function boot(l, head) {
  const titled = (key, zh, en) => ({ key, title: pick(zh, en, l) });
  return {
    user: ME, now: new Date().toISOString(), head, period: '2026-W47', queues: QUEUES(l), users: USERS,
    channels: [
      { account: 'sms-main', kind: 'sms', title: pick('短信 1069 0888', 'SMS 1069 0888', l), sends: true },
      { account: 'sms-backup', kind: 'sms', title: pick('短信（备用网关）', 'SMS (second gateway)', l), sends: true },
    ],
    case_kinds: [
      { key: 'consult', title: pick('咨询', 'Consultation', l), subkinds: [] },
      { key: 'complaint', title: pick('投诉', 'Complaint', l), subkinds: [
        titled('quality', '质量', 'Quality'), titled('fake', '假货', 'Counterfeit'), titled('price', '价格', 'Price'), titled('service', '服务', 'Service'),
      ] },
      { key: 'suggest', title: pick('建议', 'Suggestion', l), subkinds: [] },
    ],
    case_states: [
      titled('new', '新建', 'New'), titled('triaged', '已分类', 'Triaged'), titled('in_work', '处理中', 'In work'),
      titled('waiting', '等待客户', 'Waiting for customer'), titled('solved', '已解决', 'Solved'), titled('closed', '已关闭', 'Closed'),
    ],
    customer_kinds: [titled('retailer', '零售户', 'Retailer'), titled('consumer', '消费者', 'Consumer')],
    canned: [
      { key: 'thanks', title: pick('收到，致谢', 'Thanks', l), text: '【楚岚服务】已收到您的信息，感谢支持。', lang: 'zh-Hans' },
      { key: 'format', title: pick('报数格式', 'How to report', l), text: '【楚岚服务】报库存请发：KC 编码 数量，例如 KC 101 3;102 5。', lang: 'zh-Hans' },
      { key: 'order', title: pick('订货指引', 'Orders', l), text: '【楚岚服务】订货请联系当地烟草公司，本号只收集信息。', lang: 'zh-Hans' },
      { key: 'callback', title: pick('稍后回电', 'Will call back', l), text: '【楚岚服务】已为您登记，客服将在两小时内与您联系。', lang: 'zh-Hans' },
    ],
    products: PRODUCTS,
    forms: [{ id: 'weekly_terminal', title: pick('每周终端信息', 'Weekly report', l), fields: [
      { id: 'stock', title: pick('库存', 'Stock', l), type: 'quantity', unit: '条' }, { id: 'price', title: pick('零售价', 'Price', l), type: 'money', unit: '元/盒' },
    ] }],
    labels: { intent: {}, status: {}, warn: {}, error: {}, delivery: {}, act: {} },
    territories: PLACES.map((title, key) => ({ key: `t${key}`, title })), simulator: true, traffic: { running: true },
  };
}

const uid = (n) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`;

export class World {
  constructor() {
    this.seq = 5000;
    this.parties = new Map();
    this.lines = new Map();
    this.figures = [];
    for (let n = 0; n < 64; n += 1) this.#party(n);
  }

  #party(n) {
    const unknown = n % 17 === 5;
    const consumer = n % 11 === 7 && !unknown;
    const phone = `+86139000${String(10000 + n * 37)}`;
    const party = {
      id: uid(n + 1), n, phone, masked: `${phone.slice(3, 6)}****${phone.slice(-4)}`,
      name: unknown ? `${phone.slice(3, 6)}****${phone.slice(-4)}` : consumer ? `消费者 ${1200 + n}` : SHOPS[n % SHOPS.length] + (n >= 20 ? `（${['二店', '三店', '东店'][Math.floor(n / 20) - 1]}）` : ''),
      kind: unknown ? 'unknown' : consumer ? 'consumer' : 'retailer', territory: unknown ? null : PLACES[n % PLACES.length],
      licence: `4299${String(11 + (n % 6))}1${String(n).padStart(5, '0')}`, version: 1, queue: consumer ? 'complaints' : n % 3 ? 'collection' : 'service',
      state: n % 13 === 12 ? 'snoozed' : n % 9 === 8 ? 'resolved' : 'open', assignee: n % 4 === 1 ? USERS[0] : n % 4 === 2 ? USERS[1] : null,
      read: 0, cases: [], presence: [],
    };
    this.parties.set(party.id, party);
    this.lines.set(party.id, []);
    const start = Date.now() - (n * 6 + 3) * MINUTE;
    const older = n === 0 ? 140 : 4 + (n % 5);
    for (let k = older; k > 0; k -= 1) {
      const at = start - k * (n === 0 ? 400 : 1500) * MINUTE;
      if (k % 4 === 0) this.say(party, 'KC 101 3;102 5', { at, reading: [['101', 'stock', '3条', 30, [3, 8], [7, 8]], ['102', 'stock', '5条', 50, [9, 14], [13, 14]]] });
      else if (k % 4 === 3) this.answer(party, `【楚岚服务】已收#${5200 + k} 楚岚硬3条；楚岚软5条 共2项。错了回GZ`, { at: at + 800, automatic: true });
      else if (k % 4 === 2) this.say(party, '这周楚岚软的新价签什么时候送过来？', { at });
      else this.answer(party, '您好，价签周四随访销员一起送到，请留意。', { at: at + 9 * MINUTE, author: USERS[1], delivery: 'delivered' });
    }
    const kind = n % 8;
    if (unknown) {
      this.say(party, '库存 楚岚硬三条,楚岚软十五', { at: start, status: 'rejected', errors: [['E_SENDER', '号码未绑定', '', null]] });
      this.answer(party, '【楚岚服务】号码未绑定，回“绑定+许可证号”', { at: start + 700, automatic: true });
    } else if (kind === 0) {
      this.say(party, '庫存 楚嵐（硬）３條　白雲渡兩條半，江陵月硬 12条5包', { at: start, reading: [
        ['101', 'stock', '3条', 30, [3, 10], [8, 10]], ['106', 'stock', '2.5条', 25, [11, 17], [14, 17]], ['104', 'stock', '12.5条', 125, [18, 28], [23, 28]],
      ] });
      this.answer(party, '【楚岚服务】已收#5301 楚岚硬3条；白云渡2.5条；江陵硬12.5条 共3项。错了回GZ', { at: start + 900, automatic: true });
      this.say(party, '另外 102 断货两天了，哪天能到货？顾客都在问。', { at: start + 2 * MINUTE, reading: [['102', 'stock', '0条', 0, [3, 6], [7, 9]]] });
    } else if (kind === 1) {
      this.say(party, 'KC 101 3箱 105 4 998 2', { at: start, status: 'partial', reading: [
        ['101', 'stock', '3件', 1500, [3, 9], [7, 9], 'held', ['W_UNIT', '箱按件读，待确认']], ['105', 'stock', '4条', 40, [10, 15], [14, 15]],
      ], errors: [['E_PRODUCT', '没有这个编码', '998', [16, 19]]] });
      this.answer(party, '【楚岚服务】楚岚硬3件(1500盒)，对吗？是回Y，否回N。未收：998没有这个编码', { at: start + 900, automatic: true });
    } else if (kind === 2) {
      this.say(party, '投诉：上周送来的白云渡中支有两条外包装破损，请尽快处理👀', { at: start, intent: '投诉' });
      party.cases.push({ id: uid(9000 + n), number: `C-26-${1180 + n}`, kind: 'complaint', kind_title: '投诉', title: '白云渡(中支)外包装破损', state: 'in_work', state_title: '处理中', opened_at: new Date(start).toISOString(), due_at: new Date(start + 240 * MINUTE).toISOString(), severity: 3, steps: [{ state: 'waiting', title: '等待客户' }, { state: 'solved', title: '已解决' }] });
      this.event(party, 'case_opened', '建立投诉 C-26-' + (1180 + n), { at: start + 1000 });
      this.event(party, 'assigned', `分派给 ${USERS[1].name}`, { at: start + 40_000, author: USERS[0] });
      this.note(party, '电话打过去没人接，下午三点再联系。破损照片请访销员补拍。', { at: start + 3 * MINUTE, author: USERS[1] });
    } else if (kind === 3) {
      this.say(party, 'JG 101 10.5 102 158元一条', { at: start, reading: [['101', 'price', '10.5元/盒', 1050, [3, 11], [7, 11]], ['102', 'price', '15.8元/盒', 1580, [12, 22], [16, 22]]] });
      this.answer(party, '【楚岚服务】已收#5310 楚岚硬10.5元；楚岚软15.8元 共2项。错了回GZ', { at: start + 900, automatic: true });
    } else if (kind === 4) {
      this.say(party, 'When will the new display rack arrive? The old one is broken.', { at: start });
    } else if (kind === 5) {
      this.say(party, '能不能换个报数的时间，周一早上店里太忙', { at: start });
      this.answer(party, '可以的，已为您改到每周二下午提醒。', { at: start + 5 * MINUTE, author: USERS[0], delivery: n % 2 ? 'failed' : 'delivered' });
    } else if (kind === 6) {
      this.add(party, { kind: 'unreadable', direction: 'in', text: null, at: start, raw_available: true });
    } else {
      this.say(party, '你好，我买的这条烟扫码查不到，是不是假的？32位码 26110 331 07 CLYA 429911100007', { at: start });
    }
    party.read = n % 3 === 0 ? this.seq - 1 : this.seq;
    if (n % 3 === 0) party.unread = 1 + (n % 3);
  }

  add(party, fields) {
    this.seq += 1;
    const line = {
      seq: this.seq, id: uid(100000 + this.seq), party: party.id, kind: 'message', direction: 'in', channel: 'sms', account: 'sms-main', from: party.masked,
      to: '1069 0888', text: '', raw_available: false, attachments: [], author: null, delivery: null, reading: null, case: null, act: null, automatic: false, erased: false,
      ...fields, at: new Date(fields.at ?? Date.now()).toISOString(),
    };
    this.lines.get(party.id).push(line);
    party.version += 1;
    return line;
  }

  say(party, text, { at, reading = [], errors = [], status = 'accepted', intent = '报数' } = {}) {
    party.unread = (party.unread ?? 0) + 1;
    if (party.state === 'resolved') party.unread = 0;
    const product = (sku) => PRODUCTS.find((item) => item.sku === sku)?.name ?? sku;
    const read = reading.length || errors.length
      ? {
          intent: 'report', intent_label: intent, status, status_label: { accepted: '已收', partial: '部分收下', rejected: '未收' }[status], form: 'weekly_terminal', receipt: String(5300 + party.n), blueprint: 'v3',
          items: reading.map(([sku, field, display, value, , span, state = 'accepted', warn = null]) => ({ sku, name: product(sku), matched_by: 'code', values: [
            { field, title: field === 'stock' ? '库存' : '零售价', value, display, span, state, warn: warn?.[0] ?? null, warn_label: warn?.[1] ?? null }] })),
          errors: errors.map(([code, label, token, span]) => ({ code, label, token, span })),
        }
      : null;
    return this.add(party, { text, at, reading: read, raw_available: true });
  }

  answer(party, text, { at, automatic = false, author = null, delivery = 'delivered' } = {}) {
    if (!automatic) party.unread = 0;
    const label = { delivered: '已送达', queued: '排队中', failed: '未送达', unknown: '结果未知' }[delivery];
    return this.add(party, { text, at, direction: 'out', from: '1069 0888', to: party.masked, automatic, author, delivery: { state: delivery, label, error: delivery === 'failed' ? '对方手机已停机' : null } });
  }

  note(party, text, { at, author = ME } = {}) {
    return this.add(party, { kind: 'note', direction: 'none', text, at, author: { id: author.id, name: author.name } });
  }

  event(party, name, label, { at, author = null } = {}) {
    return this.add(party, { kind: 'event', direction: 'none', text: null, at, author, act: { name, label, detail: null } });
  }

  row(party) {
    const lines = this.lines.get(party.id);
    const last = lines.findLast((line) => line.kind !== 'event') ?? lines.at(-1);
    const inbound = lines.findLast((line) => line.direction === 'in');
    const answered = lines.findLast((line) => line.direction === 'out' && !line.automatic);
    const waiting = inbound && (!answered || answered.seq < inbound.seq) && party.state === 'open' ? inbound.at : null;
    const badges = [];
    if (inbound?.reading?.status === 'partial') badges.push({ code: 'held', label: '待确认', tone: 'amber' });
    if (party.kind === 'unknown') badges.push({ code: 'unbound', label: '号码未绑定', tone: 'indigo' });
    if (party.cases.length) badges.push({ code: 'complaint', label: '投诉', tone: 'cinnabar' });
    return {
      party: party.id, name: party.name, kind: party.kind, territory: party.territory, queue: party.queue, state: party.state, assignee: party.assignee, unread: party.unread ?? 0,
      last_seq: lines.at(-1).seq, last_at: last.at, preview: last.text ?? (last.act?.label ?? '无法读取的短信'), direction: last.direction, channel: 'sms', waiting_since: waiting,
      due_at: waiting ? new Date(Date.parse(waiting) + 240 * MINUTE).toISOString() : null, snoozed_until: party.state === 'snoozed' ? new Date(Date.now() + 20 * 60 * MINUTE).toISOString() : null,
      badges, case: party.cases[0] ?? null, version: party.version,
    };
  }

  inView(row, view, queue) {
    if (queue && row.queue !== queue) return false;
    return { open: row.state === 'open', mine: row.state === 'open' && row.assignee?.id === ME.id, unassigned: row.state === 'open' && !row.assignee, snoozed: row.state === 'snoozed', resolved: row.state === 'resolved', all: true }[view];
  }

  counts() {
    const rows = [...this.parties.values()].map((party) => this.row(party));
    const views = {};
    for (const view of ['open', 'mine', 'unassigned', 'snoozed', 'resolved', 'all']) views[view] = rows.filter((row) => this.inView(row, view, null)).length;
    const queues = {};
    for (const row of rows) if (row.state === 'open') queues[row.queue] = (queues[row.queue] ?? 0) + 1;
    return { views, queues };
  }

  detail(party) {
    const figures = this.lines.get(party.id).flatMap((line) => (line.reading?.items ?? []).flatMap((item) => item.values.map((value) => ({
      form: 'weekly_terminal', sku: item.sku, product: item.name, field: value.field, title: value.title, value: value.value, display: value.display, period: '2026-W47', at: line.at, seq: line.seq, state: value.state,
    }))));
    const newest = [...new Map(figures.map((figure) => [figure.sku + figure.field, figure])).values()];
    const shop = party.kind === 'retailer';
    return {
      id: party.id, name: party.name, kind: party.kind, kind_title: { retailer: '零售户', consumer: '消费者', unknown: '未知号码' }[party.kind], territory: party.territory,
      fields: shop ? [
        { id: 'licence', title: '许可证号', value: party.licence, display: party.licence }, { id: 'class', title: '分类', value: 'CZ1', display: '城镇 食杂店 1' },
        { id: 'tier', title: '档位', value: 12, display: `${8 + (party.n % 18)} 档` }, { id: 'supplier', title: '供货公司', value: '', display: '荆口市烟草公司' },
        { id: 'order_weekday', title: '订货日', value: 2, display: '星期二' }, { id: 'rep', title: '客户经理', value: '', display: '周建国' },
      ] : [],
      addresses: [{ scheme: 'tel', value: party.masked, display: party.masked, verified: party.kind !== 'unknown', primary: true }],
      persons: shop ? [{ name: '王秀兰', post: '店主', display: '王秀兰 · 店主' }] : [],
      consents: [{ purpose: 'service', state: 'granted', at: '2026-03-02T02:00:00Z', label: '服务短信' }, { purpose: 'marketing', state: 'refused', at: '2026-05-11T02:00:00Z', label: '营销短信' }],
      cases: party.cases, figures: newest, coverage: shop ? ['2026-W42', '2026-W43', '2026-W44', '2026-W45', '2026-W46', '2026-W47'].map((period, k) => ({ period, expected: 8, received: (party.n * 3 + k * 5) % 9 })) : [],
      merged_from: party.n === 3 ? [{ id: uid(900), name: '139****7777', act_seq: 4000 }] : [], merged_into: null, conversation: this.row(party), identity_hints: party.kind === 'unknown' ? [{ text: '许可证号出现在短信中', party: uid(4), name: SHOPS[3] }] : [],
    };
  }
}

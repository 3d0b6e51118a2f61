/** The fleet's figures: what was done, what it cost, where tickets wait. */

import * as api from './api.js';
import { onAddress, query, setQuery } from './address.js';
import { statusName } from './cards.js';
import { bars, meter, table } from './charts.js';
import { byId, el, fill } from './dom.js';
import { select } from './fields.js';
import * as state from './state.js';
import { compact, count, money, spoken } from './times.js';

const SPANS = [
  ['7', '7 days'],
  ['14', '14 days'],
  ['30', '30 days'],
  ['90', '90 days'],
];
const FRESH = 15000;

let asked = '';
let timer = 0;

/** Starts to follow the address, and the board while the figures are shown. */
export function startFleet() {
  onAddress(follow);
  state.onChange(({ all }) => {
    if (query().view !== 'fleet') return;
    if (all) refreshSoon(0);
    else refreshSoon(FRESH);
  });
  follow();
}

function follow() {
  const { view, days } = query();
  const wanted = view === 'fleet';
  byId('fleet').hidden = !wanted;
  byId('board-view').hidden = wanted;
  byId('board').hidden = wanted;
  byId('filters').classList.toggle('idle', wanted);
  for (const link of document.querySelectorAll('#views a')) {
    if ((link.dataset.view === 'fleet') === wanted) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const question = wanted ? `for ${days}` : '';
  if (question && question !== asked) refreshSoon(0);
  asked = question;
}

function refreshSoon(pause) {
  if (timer && pause) return;
  clearTimeout(timer);
  timer = setTimeout(async () => {
    timer = 0;
    if (query().view === 'fleet' && state.board.catalog) await show();
  }, pause);
}

async function show() {
  const days = SPANS.some(([one]) => one === query().days) ? query().days : '14';
  const root = byId('fleet-body');
  try {
    const figures = await api.fleet(days);
    const opened = new Set(
      [...root.querySelectorAll('details[open]')].map(
        (one) => one.closest('section')?.querySelector('h3')?.firstChild.textContent,
      ),
    );
    fill(root, head(days), tiles(figures), charts(figures), waits(figures), pods(figures));
    for (const one of root.querySelectorAll('details'))
      one.open = opened.has(one.closest('section').querySelector('h3').firstChild.textContent);
  } catch (refusal) {
    fill(root, el('p.loading', { role: 'alert' }, refusal.message));
  }
}

function head(days) {
  const span = select('days', SPANS, days);
  span.setAttribute('aria-label', 'Time span');
  span.addEventListener('change', () => setQuery({ days: span.value === '14' ? '' : span.value }));
  return el('header.fleet-head', {}, el('h2', {}, 'Fleet'), span);
}

const sum = (rows, of) => rows.reduce((total, row) => total + of(row), 0);
const tokens = (row) => row.input_tokens + row.output_tokens;

function tiles({ days, spikes }) {
  const done = sum(days, (row) => row.done);
  const failed = sum(days, (row) => row.failed);
  const cost = sum(days, (row) => row.cost_usd);
  const working = state.board.pods.filter((pod) => pod.doing).length;
  const facts = [
    ['Pods at work', `${working} of ${state.board.pods.length}`],
    ['Done', count(done)],
    ['Failed', failed + done ? `${count(failed)} (${Math.round((100 * failed) / (failed + done))} %)` : '0'],
    ['Cost of a done ticket', done ? money(cost / done) : '–'],
    ['Open Spikes', count(spikes.open)],
    ['A Spike is answered after', spikes.median_answer_s === null ? '–' : spoken(spikes.median_answer_s)],
  ];
  return el(
    'dl.tiles',
    {},
    facts.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))),
  );
}

function charts({ days }) {
  return el(
    'div.charts',
    {},
    bars(
      'Runs',
      days,
      [
        { name: 'done', look: 'good', of: (row) => row.done },
        { name: 'failed', look: 'bad', of: (row) => row.failed },
      ],
      count,
    ),
    bars(
      'Tokens',
      days,
      [
        { name: 'input', look: 'calm', of: (row) => row.input_tokens },
        { name: 'output', look: 'deep', of: (row) => row.output_tokens },
      ],
      compact,
    ),
    bars('Cost', days, [{ name: 'cost', look: 'calm', of: (row) => row.cost_usd }], money),
  );
}

function waits({ time_in_status: rows }) {
  if (!rows.length) return null;
  const most = Math.max(...rows.map((row) => row.p90_s));
  const order = state.board.catalog.statuses.map((one) => one.id);
  const sorted = [...rows].sort((one, other) => order.indexOf(one.status) - order.indexOf(other.status));
  return el(
    'section.figure',
    {},
    el('h3', {}, 'Time in status'),
    el(
      'p.legend',
      {},
      el('span', {}, el('span.key.deep', { 'aria-hidden': 'true' }), 'median'),
      el('span', {}, el('span.key.calm', { 'aria-hidden': 'true' }), '90 of 100 are faster'),
      'bars: logarithmic',
    ),
    table(
      'Time in status',
      ['Status', 'Median', '90 %', 'Tickets', ''],
      sorted.map((row) => [
        statusName(row.status),
        spoken(row.median_s),
        spoken(row.p90_s),
        count(row.samples),
        el('span.meters', {}, meter(row.median_s, most, 'deep'), meter(row.p90_s, most, 'calm')),
      ]),
    ),
  );
}

function pods({ by_pod: rows }) {
  if (!rows.length) return null;
  return el(
    'section.figure',
    {},
    el('h3', {}, 'By pod'),
    table(
      'By pod',
      ['Pod', 'Done', 'Failed', 'Tokens', 'Cost'],
      rows.map((row) => [row.pod, count(row.done), count(row.failed), compact(tokens(row)), money(row.cost_usd)]),
    ),
  );
}

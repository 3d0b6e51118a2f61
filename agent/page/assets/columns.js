/** The board: columns by status, with or without lanes by Epic. Shells are rebuilt when columns or lanes change, cards never. */

import { onAddress, query } from './address.js';
import { forget, forgetAll, nodeOf, statusName, typeName } from './cards.js';
import { Cell } from './cells.js';
import { byId, el, fill, icon } from './dom.js';
import { isFiltered, passing } from './filters.js';
import * as state from './state.js';
import { count } from './times.js';

const STEP = 40;
const LANE_STEP = 12;
const CHOICES = 'agent-columns';
const NO_EPIC = 0;

const cells = new Map();
const counters = new Map();
let folded = JSON.parse(localStorage.getItem(CHOICES) ?? '{}');
let shape = '';
let scheduled = 0;

/** Starts to show the board and keeps it up to date. */
export function startColumns() {
  state.onChange(({ all, cards }) => {
    if (all) {
      forgetAll();
      shape = '';
    }
    for (const id of cards) if (!state.board.cards.has(id)) forget(id);
    soon();
  });
  onAddress(soon);
}

function soon() {
  scheduled ||= requestAnimationFrame(() => {
    scheduled = 0;
    if (state.board.catalog && !byId('board').hidden) render();
  });
}

/** Draws what is not drawn yet. */
function render() {
  const byLane = Boolean(query().lanes);
  const groups = grouped(byLane);
  const columns = shownColumns(groups.present);
  const lanes = byLane ? orderedLanes(groups.lanes) : [null];
  const wanted = JSON.stringify([byLane, columns.map((one) => one.id), lanes, state.board.session?.user.id]);
  const root = byId('board');
  // A card that is moved or painted anew loses the focus; it gets it back.
  const held = root.contains(document.activeElement) && document.activeElement.closest('.card')?.dataset.id;
  if (wanted !== shape) {
    build(byLane, columns, lanes);
    shape = wanted;
  }
  for (const [key, cell] of cells) cell.update(groups.cells.get(key) ?? []);
  if (held && !root.contains(document.activeElement))
    nodeOf(Number(held))?.querySelector('.card-link').focus({ preventScroll: true });
  tellCounts(columns, groups);
  if (byLane) lanes.forEach(updateLaneHead);
  byId('empty').hidden = groups.total > 0;
  byId('empty').textContent = isFiltered()
    ? 'No work package passes these filters.'
    : 'This board has no work packages yet.';
  keepOneTabStop();
}

/** The cards that are shown, by lane and status, each list in its order. */
function grouped(byLane) {
  const passes = passing();
  const found = { cells: new Map(), lanes: new Set(), perStatus: new Map(), present: new Set(), total: 0 };
  for (const raw of state.board.cards.values()) {
    const card = state.shown(raw);
    found.present.add(card.status);
    if (!passes(card)) continue;
    found.total += 1;
    found.perStatus.set(card.status, (found.perStatus.get(card.status) ?? 0) + 1);
    let lane = null;
    if (byLane) {
      const heads = !card.epic && state.type(card.type)?.kind === 'epic';
      lane = card.epic ?? (heads ? card.id : NO_EPIC);
      found.lanes.add(lane);
      if (heads) continue;
    }
    const key = `${lane}/${card.status}`;
    if (found.cells.has(key)) found.cells.get(key).push(raw);
    else found.cells.set(key, [raw]);
  }
  for (const [key, list] of found.cells)
    list.sort(state.status(Number(key.split('/')[1]))?.closed ? latestFirst : urgentFirst);
  return found;
}

const latestFirst = (one, other) => other.updated.localeCompare(one.updated) || other.id - one.id;
const urgentFirst = (one, other) =>
  state.urgency(other.priority) - state.urgency(one.priority) ||
  (one.due ?? '9').localeCompare(other.due ?? '9') ||
  one.id - other.id;

/** The statuses that are columns: those with cards, those that every board needs, and as people folded them. */
function shownColumns(present) {
  const wanted = (one) => folded[one.id] ?? (present.has(one.id) || ['ready', 'active', 'done'].includes(one.role));
  const { statuses } = state.board.catalog;
  return [...statuses.filter((one) => !one.closed), ...statuses.filter((one) => one.closed)].filter(wanted);
}

function orderedLanes(ids) {
  const rank = (id) => {
    if (id === NO_EPIC) return 3;
    const role = state.status(state.board.cards.get(id)?.status)?.role;
    return { active: 0, ready: 1, done: 2 }[role] ?? 2;
  };
  return [...ids].sort((one, other) => rank(one) - rank(other) || one - other);
}

function build(byLane, columns, lanes) {
  cells.clear();
  counters.clear();
  const root = byId('board');
  const rest = state.board.catalog.statuses.filter((one) => !columns.includes(one));
  root.classList.toggle('in-lanes', byLane);
  root.style.setProperty('--columns', columns.length);
  const { scrollLeft } = root;
  if (byLane) {
    const heads = el(
      'div.column-heads',
      {},
      columns.map((one) => el('section.column', { data: { drop: one.id } }, columnHead(one))),
      rail(rest),
    );
    fill(
      root,
      heads,
      lanes.map((lane) => laneOf(lane, columns)),
    );
  } else {
    fill(
      root,
      columns.map((one) =>
        el(
          'section.column',
          { data: { drop: one.id }, 'aria-label': one.name },
          columnHead(one),
          cellOf(null, one, STEP),
        ),
      ),
      rail(rest),
    );
  }
  root.scrollLeft = scrollLeft;
}

function columnHead(status) {
  const counter = el('span.count');
  counters.set(status.id, counter);
  const hide = el(
    'button.quiet.fold',
    { type: 'button', 'aria-label': `Fold the column ${status.name}`, on: { click: () => fold(status.id, false) } },
    icon('close'),
  );
  return el('header.column-head', {}, el('h2', {}, statusName(status.id)), counter, hide);
}

function rail(statuses) {
  if (!statuses.length) return null;
  return el(
    'nav.rail',
    { 'aria-label': 'Folded columns' },
    el('h2', {}, 'Folded'),
    el(
      'ul',
      {},
      statuses.map((one) => {
        const counter = el('span.count');
        counters.set(one.id, counter);
        const open = {
          type: 'button',
          title: `Show the column ${one.name}`,
          data: { drop: one.id },
          on: { click: () => fold(one.id, true) },
        };
        return el('li', {}, el('button.folded', open, statusName(one.id), counter));
      }),
    ),
  );
}

function fold(id, shown) {
  folded = { ...folded, [id]: shown };
  localStorage.setItem(CHOICES, JSON.stringify(folded));
  soon();
}

function cellOf(lane, status, step) {
  const cell = new Cell(status.name, step);
  cell.update = (cards) => cell.fill(cards);
  cells.set(`${lane}/${status.id}`, cell);
  return cell.list;
}

const laneHeads = new Map();

/** A lane is filled when it comes near the window, and from then on kept up to date. */
function laneOf(id, columns) {
  const head = el('h2.lane-head');
  laneHeads.set(id, head);
  const body = el('div.lane-cells');
  const lane = el('section.lane', { data: { lane: id } }, head, body);
  const made = columns.map((status) => {
    const list = cellOf(id, status, LANE_STEP);
    const cell = cells.get(`${id}/${status.id}`);
    cell.update = (cards) => (lane.dataset.near ? cell.fill(cards) : (cell.waiting = cards));
    body.append(list);
    return cell;
  });
  lane.addEventListener('near', () => {
    lane.dataset.near = 'yes';
    for (const cell of made) cell.fill(cell.waiting ?? []);
    keepOneTabStop();
  });
  nearness.observe(lane);
  return lane;
}

const nearness = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting || target.dataset.near) continue;
      nearness.unobserve(target);
      target.dispatchEvent(new Event('near'));
    }
  },
  { rootMargin: '300px', scrollMargin: '600px' },
);

function updateLaneHead(id) {
  const epic = state.board.cards.get(id);
  const head = laneHeads.get(id);
  const told = JSON.stringify([epic ?? id]);
  if (head.dataset.told === told) return;
  head.dataset.told = told;
  if (id === NO_EPIC) fill(head, el('span.lane-name', {}, 'No Epic'));
  else if (!epic) fill(head, el('a.lane-name', { href: `#wp=${id}` }, `Epic #${id}`));
  else {
    fill(
      head,
      typeName(epic.type),
      el('span.number', {}, `#${id}`),
      el('a.lane-name', { href: `#wp=${id}` }, epic.subject),
      statusName(epic.status),
      epic.claim
        ? el('span.claim', {}, el('span.pulse', { 'aria-hidden': 'true' }), epic.claim.pod)
        : epic.pod && el('span.pod', {}, epic.pod),
    );
  }
}

function tellCounts(columns, groups) {
  const closedColumns = state.board.catalog.statuses.filter((one) => one.closed);
  for (const [id, counter] of counters) {
    const here = groups.perStatus.get(id) ?? 0;
    const status = state.status(id);
    const first = status.closed && id === closedColumns[0]?.id && !isFiltered();
    const text =
      first && state.board.closed > here
        ? `${count(here)} of ${count(state.board.closed)}`
        : here
          ? count(here)
          : columns.includes(status)
            ? '0'
            : '';
    if (counter.textContent !== text) counter.textContent = text;
  }
}

/** Only one card is a stop of the Tab key; the arrows walk on from there. */
function keepOneTabStop() {
  const root = byId('board');
  const stops = root.querySelectorAll('.card-link[tabindex="0"]');
  stops.forEach((one, index) => index && (one.tabIndex = -1));
  if (!stops.length) {
    const first = root.querySelector('.card-link');
    if (first) first.tabIndex = 0;
  }
}

/** Where a card stands, for the arrows: its own cell, those in the same row, and all of them. */
export function cellsAround(node) {
  const list = node.closest('.cell');
  const rows = [...cells.values()];
  const inLane = list.closest('.lane');
  return {
    own: rows.find((one) => one.list === list),
    row: rows.filter((one) => one.list.closest('.lane') === inLane),
    rows,
  };
}

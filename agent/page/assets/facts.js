/** What stands at the top of the panel: status, pod, claim, people and dates, and what can be done with one click. */

import { badge, statusName, typeName } from './cards.js';
import { el, fill, icon, swatch } from './dom.js';
import { podInput, select } from './fields.js';
import { moveTo, save } from './moves.js';
import * as state from './state.js';
import { day, moment, running } from './times.js';

const FEW_REASONS = 5;
const WIDE = new Set(['Status', 'Pod', 'Claim']);

/** A part of the panel. */
export function factsPart() {
  const node = el('section.facts', { 'aria-label': 'Facts' });
  const [why, quick, list] = [el('ul.reasons'), el('p.buttons.quick'), el('dl')];
  const route = routeForm();
  node.append(why, quick, list);
  return {
    node,
    update(detail) {
      const { card } = detail;
      fill(why, reasonsList(reasonsOf(detail)));
      fill(quick, quickActions(detail));
      quick.hidden = !quick.children.length;
      route.update(detail);
      const priority = state.priority(card.priority);
      const pairs = [
        ['Status', statusControl(detail)],
        isForPods(card) && ['Pod', detail.actions.edit ? route.node : card.pod || 'any'],
        card.claim && [
          'Claim',
          el(
            'span.claim',
            {},
            el('span.pulse', { 'aria-hidden': 'true' }),
            el('span.pod', {}, card.claim.pod),
            ' for ',
            running(card.claim.since, 'clock'),
            ` · try ${card.claim.try}`,
          ),
        ],
        ['Type', typeName(card.type)],
        ['Priority', [swatch(priority?.color), priority?.name]],
        ['Assignee', card.assignee ? (state.user(card.assignee)?.name ?? `User ${card.assignee}`) : 'nobody'],
        ['Due', card.due ? day(card.due) : 'no date'],
        detail.version && ['Version', detail.version],
        ['Project', state.project(card.project)?.name],
        ['Author', detail.author],
        ['Created', el('time', { datetime: detail.created }, moment(detail.created))],
        ['Updated', running(card.updated, 'ago')],
      ].filter(Boolean);
      const held = list.contains(document.activeElement) && document.activeElement.name;
      fill(
        list,
        pairs.map(([term, value]) =>
          el(`div${WIDE.has(term) ? '.wide' : ''}`, {}, el('dt', {}, term), el('dd', {}, value)),
        ),
      );
      if (held) list.querySelector(`[name="${held}"]`)?.focus();
    },
  };
}

/** All reasons; of many the most are one click away. */
function reasonsList(reasons) {
  const line = (one) => el('li', {}, badge(one.reason), ' ', one.detail);
  const rest = reasons.slice(FEW_REASONS);
  return [
    reasons.slice(0, FEW_REASONS).map(line),
    rest.length > 0 &&
      el('li', {}, el('details', {}, el('summary', {}, `${rest.length} more`), el('ul.reasons', {}, rest.map(line)))),
  ];
}

/** Only what pods take, and what they take it under, is routed. */
const isForPods = (card) => card.pod !== '' || ['bug', 'task', 'epic'].includes(state.type(card.type)?.kind);

/** That a container or a closed ticket is no work for agents needs no saying. */
function reasonsOf({ card, reasons }) {
  return state.isExecutable(card) && !state.status(card.status)?.closed
    ? reasons.filter((one) => one.reason !== 'not ready')
    : [];
}

function statusControl({ card, actions }) {
  const ids = actions.statuses.filter((id) => id !== card.status);
  if (!ids.length) return statusName(card.status);
  const pairs = state.board.catalog.statuses
    .filter((one) => one.id === card.status || ids.includes(one.id))
    .map((one) => [one.id, one.name]);
  const control = select('status', pairs, card.status);
  control.setAttribute('aria-label', 'Status');
  control.addEventListener('change', async () => {
    if (!(await moveTo(card, Number(control.value)))) control.value = String(card.status);
  });
  return el('span.with-swatch', {}, swatch(state.status(card.status)?.color), control);
}

/** Routing: a form that keeps what is typed while the board goes on. */
function routeForm() {
  const input = podInput('');
  input.setAttribute('aria-label', 'Pod');
  const set = el('button.small', {}, 'Route');
  const clear = el('button.small', { type: 'button', on: { click: () => send('') } }, 'Clear');
  const node = el('form.route', {}, input, set, clear);
  let card = null;
  let seen = null;

  async function send(pod) {
    if (set.disabled) return;
    set.disabled = clear.disabled = true;
    const { id } = card;
    const field = state.board.catalog.fields.pod;
    const done = pod ? `#${id} is routed to ${pod}.` : `#${id} may be taken by any pod.`;
    const taken = await save(id, (seen ?? card).lock, { [field]: pod || null }, done);
    if (taken) input.value = pod;
    seen = null;
    set.disabled = clear.disabled = false;
    show();
  }
  function show() {
    const dirty = input.value.trim() !== card.pod;
    set.hidden = !dirty || !input.value.trim();
    clear.hidden = !card.pod;
  }
  input.addEventListener('input', () => {
    seen ??= card;
    show();
  });
  node.addEventListener('submit', (event) => {
    event.preventDefault();
    if (input.value.trim() !== card.pod) send(input.value.trim());
  });
  return {
    node,
    update(detail) {
      const untouched = card === null || (seen === null && input.value === card.pod);
      card = detail.card;
      if (untouched) input.value = card.pod;
      show();
    },
  };
}

/** Opening and closing a Phase is what gates everything below it: one click each. */
function quickActions({ card, actions }) {
  if (state.type(card.type)?.kind !== 'gate') return [];
  const allowed = state.board.catalog.statuses.filter(
    (one) => one.id !== card.status && actions.statuses.includes(one.id),
  );
  const active = allowed.find((one) => one.role === 'active');
  const closed = allowed.find((one) => one.closed && one.role === 'closed') ?? allowed.find((one) => one.closed);
  const name = state.type(card.type).name;
  const isOpen = !state.status(card.status)?.closed;
  const button = (spec, status, text) =>
    el(spec, { type: 'button', on: { click: (event) => act(event, status) } }, text);
  const act = async ({ currentTarget: { parentElement: all } }, status) => {
    // One after the other: the second would go by what was seen before the first.
    for (const one of all.children) one.disabled = true;
    await moveTo(card, status.id);
    for (const one of all.children) one.disabled = false;
  };
  return [
    active && button('button.primary', active, `Activate this ${name}`),
    closed && isOpen && button('button', closed, `Close this ${name}`),
  ].filter(Boolean);
}

/** A reference to another work package. */
export function reference({ id, subject, type, status }) {
  return el(
    'a.reference',
    { href: `#wp=${id}` },
    swatch(state.type(type)?.color),
    el('span.number', {}, `#${id}`),
    el('span.subject', {}, subject),
    statusName(status),
  );
}

/** A link that can be copied. */
export function copyButton(id, say) {
  const copy = async () => {
    await navigator.clipboard.writeText(`${location.origin}/#wp=${id}`);
    say(`The address of #${id} is copied.`);
  };
  return el(
    'button.quiet',
    { type: 'button', 'aria-label': `Copy the address of #${id}`, hidden: !navigator.clipboard, on: { click: copy } },
    icon('link'),
  );
}

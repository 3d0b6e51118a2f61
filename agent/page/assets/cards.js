/** One card: what stands on it. Cards are kept and painted anew only when their work package changed. */

import { el, fill, icon, swatch, unseen } from './dom.js';
import * as state from './state.js';
import { day, running } from './times.js';

const WORDS = {
  routed: 'routed',
  blocked: 'blocked',
  gated: 'gated',
  spiked: 'spiked',
  owned: 'owned',
  container: 'container',
  taken: 'taken',
};

const kept = new Map();

/** The card of a work package, painted if it is not up to date. */
export function cardOf(card) {
  let entry = kept.get(card.id);
  if (!entry) {
    entry = { node: el('li.card', { data: { id: card.id } }), painted: null, pending: false };
    kept.set(card.id, entry);
  }
  const pending = state.isPending(card.id);
  if (entry.painted !== card || entry.pending !== pending) {
    paint(entry.node, state.shown(card), pending);
    Object.assign(entry, { painted: card, pending });
  }
  return entry.node;
}

/** The card on the page, if it is there. */
export function nodeOf(id) {
  const node = kept.get(id)?.node;
  return node?.isConnected ? node : null;
}

/** Forgets the cards of work packages that are gone. */
export function forget(id) {
  kept.get(id)?.node.remove();
  kept.delete(id);
}

/** Forgets all cards, since names and colours may have changed. */
export function forgetAll() {
  kept.clear();
}

function paint(node, card, pending) {
  const tab = node.querySelector('a')?.tabIndex ?? -1;
  const link = el(
    'a.card-link',
    { href: `#wp=${card.id}`, draggable: false, tabIndex: tab },
    card.subject || '(no subject)',
  );
  node.classList.toggle('pending', pending);
  node.classList.toggle('working', Boolean(card.claim));
  node.classList.toggle('movable', state.nextStatuses(card).length > 0);
  fill(node, head(card), el('p.card-subject', {}, link), reasons(card), foot(card));
}

function head(card) {
  const priority = state.priority(card.priority);
  const level = state.urgency(card.priority) - state.board.catalog.priorities.length;
  return el(
    'p.card-head',
    {},
    typeName(card.type),
    el('span.number', {}, `#${card.id}`),
    priority &&
      el(
        `span.priority${level >= -2 ? '.urgent' : ''}`,
        {},
        unseen('priority '),
        level >= -2 && swatch(priority.color),
        priority.name,
      ),
  );
}

/** A type: its colour and its name. */
export function typeName(id) {
  const type = state.type(id);
  return el(
    'span.type',
    {},
    swatch(type?.color ?? (type?.kind === 'spike' ? 'var(--bad)' : null)),
    type?.name ?? 'Unknown type',
  );
}

/** A status: its colour and its name. */
export function statusName(id) {
  const status = state.status(id);
  return el('span.status', {}, swatch(status?.color), status?.name ?? 'Unknown status');
}

const FEW_REASONS = 3;

/** The first reasons in words, then badges that no reason speaks of. */
function reasons(card) {
  const named = new Set(card.reasons.map((one) => one.reason.toLowerCase()));
  const bare = card.badges.filter((badge) => !named.has(badge) && badge !== 'routed' && badge !== 'owned');
  if (!named.size && !bare.length) return null;
  return el(
    'ul.reasons',
    {},
    card.reasons.slice(0, FEW_REASONS).map((one) => el('li', {}, badge(one.reason), ' ', one.detail)),
    card.reasons.length > FEW_REASONS && el('li', {}, `and ${card.reasons.length - FEW_REASONS} more`),
    bare.length > 0 &&
      el(
        'li',
        {},
        bare.map((one) => badge(one)),
      ),
  );
}

/** A reason's or a badge's name with its sign. */
export function badge(name) {
  const known = name.toLowerCase();
  return el(`span.badge.${known in WORDS ? known : 'other'}`, {}, icon(known), WORDS[known] ?? name);
}

function foot(card) {
  const epic = card.epic && state.board.cards.get(card.epic);
  const claim = card.claim;
  const assignee = card.assignee && state.user(card.assignee);
  const free = state.isExecutable(card) && state.status(card.status)?.role === 'ready' && !card.reasons.length;
  const parts = [
    free && el('span.free', {}, el('span.dot', { 'aria-hidden': 'true' }), 'free to take'),
    state.isQuestion(card) && el('span.asks', {}, icon('spiked'), 'waits for an answer'),
    claim &&
      el(
        'span.claim',
        {},
        el('span.pulse', { 'aria-hidden': 'true' }),
        el('span.pod', {}, claim.pod),
        ' ',
        running(claim.since, 'age'),
        claim.try > 1 && ` · try ${claim.try}`,
      ),
    !claim && card.pod && podOf(card),
    card.badges.includes('owned') && badge('owned'),
    assignee && !assignee.fleet && el('span.person', {}, icon('taken'), assignee.name),
    card.due && el('span.due', {}, `due ${day(card.due)}`),
    epic && el('span.epic', {}, unseen('Epic '), epic.subject),
  ].filter(Boolean);
  return parts.length ? el('p.card-foot', {}, parts) : null;
}

function podOf(card) {
  const open = !state.status(card.status)?.closed;
  if (open && card.badges.includes('routed'))
    return el('span.pod.routed-to', {}, icon('routed'), `routed to ${card.pod}`);
  return el('span.pod', {}, unseen('pod '), card.pod);
}

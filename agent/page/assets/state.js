/** What the page knows of the board: the catalog, the cards, the pods, and changes of one's own that are on their way. */

import { setClock } from './times.js';

const listeners = new Set();
const pending = new Map();

/** The board as last heard of. Lists of the catalog are also there by id. */
export const board = { session: null, version: '', catalog: null, cards: new Map(), closed: 0, pods: [], byId: {} };

/** Calls `listener({all, cards: Set of ids, pods})` after every change. */
export function onChange(listener) {
  listeners.add(listener);
}

function tell(change) {
  for (const listener of listeners) listener({ all: false, cards: new Set(), pods: false, ...change });
}

/** Takes a whole snapshot. */
export function load(snapshot) {
  const { catalog } = snapshot;
  setClock(snapshot.now);
  const byId = {};
  for (const list of ['statuses', 'types', 'priorities', 'projects', 'users'])
    byId[list] = new Map(catalog[list].map((one) => [one.id, one]));
  board.byId = byId;
  board.catalog = catalog;
  board.version = snapshot.version;
  board.cards = new Map(snapshot.cards.map((card) => [card.id, card]));
  board.closed = snapshot.closed;
  board.pods = snapshot.pods;
  tell({ all: true, cards: new Set(board.cards.keys()), pods: true });
}

/** Takes what changed since the snapshot. An older state of a card than the one that is known is left out. */
export function apply({ version, changed = [], gone = [], closed, pods }) {
  const touched = new Set(gone);
  for (const id of gone) board.cards.delete(id);
  for (const card of changed) {
    const known = board.cards.get(card.id);
    if (known && known.lock > card.lock) continue;
    board.cards.set(card.id, card);
    touched.add(card.id);
  }
  if (version !== undefined) board.version = version;
  if (closed !== undefined) board.closed = closed;
  if (pods !== undefined) board.pods = pods;
  tell({ cards: touched, pods: pods !== undefined });
}

/** Whether a change names something that the catalog does not know, so that all must be asked for anew. */
export function isStranger(card) {
  const { statuses, types, projects } = board.byId;
  return !(statuses.has(card.status) && types.has(card.type) && projects.has(card.project));
}

/** Shows a change before the server has taken it. */
export function expect(id, change) {
  pending.set(id, change);
  tell({ cards: new Set([id]) });
}

/** The server has spoken: what was expected counts no more. */
export function settle(id) {
  if (pending.delete(id)) tell({ cards: new Set([id]) });
}

/** Whether a change of one's own is on its way. */
export const isPending = (id) => pending.has(id);

/** A card as it is to be shown. */
export function shown(card) {
  const change = pending.get(card.id);
  return change ? { ...card, ...change } : card;
}

export const status = (id) => board.byId.statuses.get(id);
export const type = (id) => board.byId.types.get(id);
export const priority = (id) => board.byId.priorities.get(id);
export const project = (id) => board.byId.projects.get(id);
export const user = (id) => board.byId.users.get(id);

/** How urgent, from 0. */
export const urgency = (id) => board.catalog.priorities.findIndex((one) => one.id === id);

/** What this viewer may do in a card's project. */
export const may = (card) => project(card.project)?.may ?? {};

/** The statuses that the workflow allows a card to go to, its present one left out. */
export function nextStatuses(card) {
  if (!may(card).status) return [];
  const allowed = board.catalog.workflow[card.type]?.[card.status] ?? [];
  return board.catalog.statuses.filter((one) => one.id !== card.status && allowed.includes(one.id));
}

/** Names of pods that are known or named by a card. */
export function podNames() {
  const names = new Set(board.pods.map((pod) => pod.name));
  for (const card of board.cards.values()) if (card.pod) names.add(card.pod);
  return [...names].sort((one, other) => one.localeCompare(other));
}

/** Whether a card is a question of the fleet that nobody has answered yet. */
export const isQuestion = (card) => type(card.type)?.kind === 'spike' && !status(card.status)?.closed;

/** Whether a type is what agents execute. */
export const isExecutable = (card) => ['bug', 'task'].includes(type(card.type)?.kind);

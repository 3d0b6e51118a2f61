/** The keyboard: arrows walk over the cards, single letters act. */

import { openId, query, setOpen, setQuery } from './address.js';
import { nodeOf } from './cards.js';
import { cellsAround } from './columns.js';
import { openCreate } from './create.js';
import { openHelp, openMove } from './dialogs.js';
import { byId } from './dom.js';
import * as state from './state.js';

/** Starts to listen. */
export function startKeys() {
  document.addEventListener('keydown', pressed);
  byId('board').addEventListener('focusin', ({ target }) => {
    if (!target.matches('.card-link')) return;
    for (const one of byId('board').querySelectorAll('.card-link[tabindex="0"]')) one.tabIndex = -1;
    target.tabIndex = 0;
  });
}

const LETTERS = {
  '/': () => byId('search').focus(),
  '?': () => openHelp(),
  n: () => state.board.catalog.projects.some((one) => one.may.create) && openCreate(),
  l: () => setQuery({ lanes: query().lanes ? '' : 'epic' }),
  f: () => setQuery({ view: query().view === 'fleet' ? '' : 'fleet' }, { push: true }),
  b: () => focusBoard(),
};

function pressed(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !state.board.catalog) return;
  if (document.querySelector('dialog[open]')) return;
  const typing = event.target.closest('input, textarea, select, [contenteditable]');
  if (event.key === 'Escape') return void escape(event, typing);
  if (typing) return;
  const link = event.target.closest('.card-link');
  if (link && onCard(event, link)) return void event.preventDefault();
  const act = LETTERS[event.key];
  if (!act || byId('page').hidden) return;
  event.preventDefault();
  act();
}

function escape(event, typing) {
  if (typing?.id === 'search') {
    setQuery({ q: '' });
    typing.value = '';
    focusBoard();
  } else if (openId()) {
    event.preventDefault();
    setOpen(null);
  }
}

function onCard(event, link) {
  const node = link.closest('.card');
  const id = Number(node.dataset.id);
  if (event.key === 'm') {
    openMove(id);
    return true;
  }
  const steps = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] };
  const to = steps[event.key];
  if (to) walk(node, ...to);
  else if (event.key === 'Home') stand(cellsAround(node).own, 0);
  else if (event.key === 'End')
    stand(cellsAround(node).own, Math.min(cellsAround(node).own.limit, cellsAround(node).own.cards.length) - 1);
  else return false;
  return true;
}

function walk(node, sideways, down) {
  const { own, row, rows } = cellsAround(node);
  const place = own.cards.findIndex((card) => card.id === Number(node.dataset.id));
  if (down) {
    if (own.cards[place + down]) return stand(own, place + down);
    // Below the last card of a lane's cell goes on the same column of the next lane.
    const same = rows.filter((one) => one.label === own.label);
    const next = same[same.indexOf(own) + down];
    return next?.cards.length ? stand(next, down > 0 ? 0 : next.cards.length - 1) : undefined;
  }
  for (let at = row.indexOf(own) + sideways; row[at]; at += sideways) {
    if (row[at].cards.length) return stand(row[at], Math.min(place, row[at].cards.length - 1));
  }
  return undefined;
}

function stand(cell, index) {
  cell.reach(index);
  const card = cell.cards[index];
  const link = card && nodeOf(card.id)?.querySelector('.card-link');
  if (!link) return cell.list.scrollIntoView({ block: 'nearest' });
  link.focus({ preventScroll: true });
  return link.closest('.card').scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

/** Puts the focus on the board's card that is the stop of the Tab key. */
export function focusBoard() {
  byId('board').querySelector('.card-link[tabindex="0"]')?.focus();
}

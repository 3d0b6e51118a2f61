/** Dialogs: help, and the menu that moves a card without a mouse. */

import { statusName } from './cards.js';
import { byId, el, fill, icon } from './dom.js';
import { moveTo } from './moves.js';
import * as state from './state.js';
import { complain } from './toasts.js';

/** Opens a dialog; it closes by Escape, its cross, or a click beside it, and the focus returns to where it was. */
export function openDialog(dialog) {
  if (dialog.open) return;
  const back = document.activeElement;
  dialog.showModal();
  dialog.addEventListener('close', () => back?.isConnected && back.focus(), { once: true });
}

/** Wires every dialog of the page. */
export function startDialogs() {
  for (const dialog of document.querySelectorAll('dialog')) {
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog && !dialog.matches('[data-careful]')) dialog.close();
    });
    for (const button of dialog.querySelectorAll('[data-close]'))
      button.addEventListener('click', () => dialog.close());
  }
  byId('help').addEventListener('click', openHelp);
}

/** What the keys do. */
export const openHelp = () => openDialog(byId('help-dialog'));

/** A menu of the statuses that the workflow allows. */
export function openMove(id) {
  const card = state.board.cards.get(id);
  const allowed = card ? state.nextStatuses(card) : [];
  if (!allowed.length) {
    complain(
      card && state.may(card).status
        ? `The workflow lets #${id} go to no other status.`
        : `You may not change the status of #${id}.`,
    );
    return;
  }
  const dialog = byId('move-dialog');
  byId('move-title').textContent = `Move #${id} to`;
  fill(
    byId('move-list'),
    allowed.map((status) =>
      el(
        'li',
        {},
        el(
          'button.choice',
          { type: 'button', on: { click: () => choose(dialog, card, status.id) } },
          statusName(status.id),
        ),
      ),
    ),
  );
  openDialog(dialog);
  byId('move-list').querySelector('button').focus();
}

function choose(dialog, card, statusId) {
  dialog.close();
  moveTo(card, statusId);
}

/** Up and down walk through the choices; a first letter jumps. */
export function startMoveMenu() {
  byId('move-list').addEventListener('keydown', (event) => {
    const buttons = [...byId('move-list').querySelectorAll('button')];
    const at = buttons.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    let next = step && buttons[(at + step + buttons.length) % buttons.length];
    if (!step && event.key.length === 1) {
      const starts = (one) => one.textContent.toLowerCase().startsWith(event.key.toLowerCase());
      next = [...buttons.slice(at + 1), ...buttons.slice(0, at + 1)].find(starts);
    }
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
}

/** A cross that closes something. */
export const closeButton = (label, click) =>
  el('button.quiet', { type: 'button', 'aria-label': label, on: { click } }, icon('close'));

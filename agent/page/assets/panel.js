/** The panel of one work package, opened by the address (#wp=42) and kept up to date while it is open. */

import * as api from './api.js';
import { onAddress, openId, setOpen } from './address.js';
import { nodeOf, typeName } from './cards.js';
import { commentPart } from './comment.js';
import { closeButton } from './dialogs.js';
import { byId, calm, el, fill, trusted } from './dom.js';
import { editPart } from './edit.js';
import { copyButton, factsPart } from './facts.js';
import { area, field } from './fields.js';
import { focusBoard } from './keys.js';
import { onDetail } from './moves.js';
import { relatedPart } from './related.js';
import * as state from './state.js';
import { timelinePart } from './timeline.js';
import { say } from './toasts.js';

let open = null;

/** Starts to follow the address and the board. */
export function startPanel() {
  onAddress(follow);
  onDetail((detail) => open?.parts && open.id === detail.card.id && paint(detail));
  state.onChange(({ all, cards }) => {
    if (open && (all || [...cards].some((id) => open.around.has(id)))) reload();
  });
  follow();
}

/** Opens, changes or closes the panel as the address says. */
function follow() {
  const id = openId();
  if (id === (open?.id ?? null)) return;
  if (id) show(id);
  else hide();
}

async function show(id) {
  const panel = byId('panel');
  const before = open?.back ?? document.activeElement;
  open = { id, parts: null, lock: 0, around: new Set([id]), back: before };
  nodeOf(id)?.classList.add('opened');
  for (const node of document.querySelectorAll('.card.opened'))
    node.classList.toggle('opened', node.dataset.id === String(id));
  fill(
    panel,
    el(
      'header.panel-head',
      {},
      el('p', {}, `#${id}`),
      closeButton('Close', () => setOpen(null)),
    ),
    el('p.loading', { role: 'status' }, 'Loading…'),
  );
  panel.hidden = false;
  document.documentElement.classList.add('with-panel');
  nodeOf(id)?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  await load();
}

async function load() {
  const { id } = open;
  try {
    const detail = await api.detail(id);
    if (open?.id !== id) return;
    paint(detail);
  } catch (refusal) {
    if (open?.id !== id) return;
    if (open.typed || (open.parts && refusal.status !== 404)) return;
    open.typed = open.parts && typedIn(byId('panel'));
    open.parts = null;
    fill(
      byId('panel'),
      el(
        'header.panel-head',
        {},
        el('p', {}, `#${id}`),
        closeButton('Close', () => setOpen(null)),
      ),
      el('p.loading', { role: 'alert' }, refusal.message),
      open.typed?.map((text) => field('What was typed here', area('typed', text), { wide: true })),
    );
  }
}

/** The texts of forms that are open: when their ticket is deleted, they are for whoever typed them to take along. */
const typedIn = (panel) =>
  [...panel.querySelectorAll('form:not([hidden]) textarea')].map((one) => one.value).filter(Boolean);

const reload = calm(120, () => open && load());

function paint(detail) {
  // Of two answers that overtook each other the newer one counts.
  if (detail.card.lock < open.lock) return;
  open.lock = detail.card.lock;
  open.typed = null;
  const fresh = !open.parts;
  open.around = new Set([
    open.id,
    ...[detail.ancestors, detail.children].flat().map((one) => one.id),
    ...detail.relations.map((one) => one.other.id),
  ]);
  if (fresh) {
    open.parts = partsOf(detail);
    fill(
      byId('panel'),
      open.parts.map((part) => part.node),
    );
  }
  for (const part of open.parts) part.update(detail);
  if (fresh) byId('panel-title').focus({ preventScroll: true });
}

/** What the panel is made of; where somebody is asked, the answer stands below the question. */
function partsOf({ card }) {
  const edit = editPart(() => head.node.querySelector('.edit-button').focus());
  const head = headPart(() => edit.open());
  const top = [head, edit, factsPart(), descriptionPart()];
  const rest = [relatedPart(), timelinePart(open.id)];
  const comment = commentPart(open.id);
  return state.isQuestion(card) ? [...top, comment, ...rest] : [...top, ...rest, comment];
}

function headPart(onEdit) {
  const node = el('header.panel-head');
  const line = el('p.panel-line');
  const title = el('h2', { id: 'panel-title', tabIndex: -1 });
  const above = el('nav.above', { 'aria-label': 'Above this work package' });
  const edit = el('button.small.edit-button', { type: 'button', on: { click: onEdit } }, 'Edit');
  node.append(
    el(
      'div.panel-bar',
      {},
      line,
      el('span.spring'),
      edit,
      copyButton(open.id, say),
      closeButton('Close', () => setOpen(null)),
    ),
    above,
    title,
  );
  return {
    node,
    update({ card, actions, ancestors }) {
      fill(line, typeName(card.type), ' ', el('span.number', {}, `#${card.id}`));
      title.textContent = card.subject;
      edit.hidden = !actions.edit;
      fill(
        above,
        ancestors.length > 0 &&
          el(
            'ol',
            {},
            ancestors.map((one) => el('li', {}, el('a', { href: `#wp=${one.id}` }, one.subject))),
          ),
      );
      above.hidden = !ancestors.length;
    },
  };
}

function descriptionPart() {
  const node = el('section.description', { 'aria-label': 'Description' });
  let told = null;
  return {
    node,
    update({ description }) {
      if (told === description.html) return;
      told = description.html;
      fill(node, told ? trusted('div.prose', told) : el('p.muted', {}, 'No description.'));
    },
  };
}

function hide() {
  const { id, back } = open;
  open = null;
  byId('panel').hidden = true;
  fill(byId('panel'));
  document.documentElement.classList.remove('with-panel');
  for (const node of document.querySelectorAll('.card.opened')) node.classList.remove('opened');
  const link = nodeOf(id)?.querySelector('.card-link');
  if (link) link.focus({ preventScroll: true });
  else if (back?.isConnected && back !== document.body) back.focus();
  else focusBoard();
}

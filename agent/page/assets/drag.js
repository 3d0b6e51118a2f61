/** Dragging a card to a status, with a mouse at once and with a finger after a short hold. Places are measured once, not at every move. */

import { byId } from './dom.js';
import { moveTo } from './moves.js';
import * as state from './state.js';

const SLACK = 5;
const HOLD = 280;
const EDGE = 56;
const PACE = 14;

let drag = null;

/** Starts to listen on the board. */
export function startDrag() {
  const root = byId('board');
  root.addEventListener('pointerdown', grasp);
  root.addEventListener('dragstart', (event) => event.preventDefault());
  root.addEventListener('scroll', () => drag?.ghost && (drag.places = null), { capture: true, passive: true });
  // Registered for good: a browser asks only listeners that are there when the finger comes down whether it may scroll.
  document.addEventListener('touchmove', (event) => drag?.ghost && event.preventDefault(), { passive: false });
  document.addEventListener('contextmenu', (event) => drag?.touch && event.preventDefault());
  document.addEventListener('click', swallow, { capture: true });
}

function grasp(event) {
  const node = event.target.closest('.card.movable');
  if (!node || event.button !== 0 || drag || event.ctrlKey || event.metaKey) return;
  const card = state.board.cards.get(Number(node.dataset.id));
  if (!card || state.isPending(card.id)) return;
  const touch = event.pointerType !== 'mouse';
  drag = { node, card, touch, startX: event.clientX, startY: event.clientY, x: event.clientX, y: event.clientY };
  drag.allowed = new Set(state.nextStatuses(card).map((one) => one.id));
  if (touch) drag.timer = setTimeout(lift, HOLD);
  for (const [name, listener] of Object.entries(LISTENERS)) document.addEventListener(name, listener);
}

const LISTENERS = {
  pointermove: move,
  pointerup: drop,
  pointercancel: end,
  keydown: (event) => event.key === 'Escape' && drag?.ghost && (event.stopPropagation(), end()),
};

function move(event) {
  drag.x = event.clientX;
  drag.y = event.clientY;
  const far = Math.hypot(drag.x - drag.startX, drag.y - drag.startY) > SLACK;
  if (!drag.ghost) {
    if (!far) return;
    if (drag.touch) return void end();
    lift();
  }
  drag.frame ||= requestAnimationFrame(follow);
}

function lift() {
  const box = drag.node.getBoundingClientRect();
  const ghost = drag.node.cloneNode(true);
  ghost.className = 'card ghost';
  ghost.style.setProperty('width', `${box.width}px`);
  drag.offsetX = drag.startX - box.left;
  drag.offsetY = drag.startY - box.top;
  ghost.setAttribute('aria-hidden', 'true');
  ghost.querySelector('a').tabIndex = -1;
  document.body.append(ghost);
  drag.ghost = ghost;
  drag.node.classList.add('lifted');
  document.documentElement.classList.add('dragging');
  for (const target of byId('board').querySelectorAll('[data-drop]')) {
    const id = Number(target.dataset.drop);
    target.classList.toggle('forbidden', id !== drag.card.status && !drag.allowed.has(id));
    target.classList.toggle('allowed', drag.allowed.has(id));
  }
  drag.frame ||= requestAnimationFrame(follow);
}

function follow() {
  if (!drag?.ghost) return;
  drag.frame = 0;
  drag.places ??= measured();
  drag.ghost.style.setProperty(
    'transform',
    `translate3d(${drag.x - drag.offsetX}px, ${drag.y - drag.offsetY}px, 0) rotate(1.2deg)`,
  );
  const over = drag.places.find(
    (place) => drag.x >= place.left && drag.x <= place.right && drag.y >= place.top && drag.y <= place.bottom,
  );
  const target = over && drag.allowed.has(over.id) ? over.node : null;
  if (target !== drag.target) {
    drag.target?.classList.remove('over');
    target?.classList.add('over');
    drag.target = target;
  }
  scrollAtEdges();
}

/** Where cards can be dropped: folded columns are small, columns reach from the top to the bottom of the board. */
function measured() {
  const board = byId('board').getBoundingClientRect();
  return [...byId('board').querySelectorAll('[data-drop]')].map((node) => {
    const box = node.getBoundingClientRect();
    const small = node.matches('button');
    return {
      node,
      id: Number(node.dataset.drop),
      left: box.left,
      right: box.right,
      top: small ? box.top : board.top,
      bottom: small ? box.bottom : board.bottom,
    };
  });
}

function scrollAtEdges() {
  const board = byId('board');
  const step = drag.x > innerWidth - EDGE ? PACE : drag.x < EDGE ? -PACE : 0;
  if (!step) return;
  board.scrollLeft += step;
  drag.frame ||= requestAnimationFrame(follow);
}

function drop() {
  // The last move may still wait for its frame.
  if (drag.ghost) follow();
  const { card, target, ghost } = drag;
  end();
  if (ghost) swallowing = Date.now();
  if (target) moveTo(card, Number(target.dataset.drop));
}

function end() {
  if (!drag) return;
  clearTimeout(drag.timer);
  cancelAnimationFrame(drag.frame);
  for (const [name, listener] of Object.entries(LISTENERS)) document.removeEventListener(name, listener);
  drag.ghost?.remove();
  drag.node.classList.remove('lifted');
  document.documentElement.classList.remove('dragging');
  for (const node of byId('board').querySelectorAll('.forbidden, .allowed, .over'))
    node.classList.remove('forbidden', 'allowed', 'over');
  drag = null;
}

let swallowing = 0;

/** A drop is no click on what lies below. */
function swallow(event) {
  if (Date.now() - swallowing > 60) return;
  event.preventDefault();
  event.stopPropagation();
}

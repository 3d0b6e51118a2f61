/** Sentences about what happened. They are read out by screen readers and can be sent away. */

import { byId, el, icon } from './dom.js';

const SHORT = 6000;
const LONG = 15000;
const MOST = 4;

/** Says that something went as wished. */
export const say = (text) => show(text, 'good', SHORT);

/** Says that something did not. */
export const complain = (text) => show(text, 'bad', LONG);

/** Says that the board and a wish did not agree. */
export const warn = (text) => show(text, 'warn', LONG);

function show(text, kind, duration) {
  const close = el(
    'button.quiet',
    { type: 'button', 'aria-label': 'Close this message', on: { click: () => toast.remove() } },
    icon('close'),
  );
  const toast = el(`div.toast.${kind}`, {}, el('p', {}, text), close);
  const place = byId('toasts');
  for (const old of place.children) if (old.firstChild.textContent === text) old.remove();
  while (place.children.length >= MOST) place.firstChild.remove();
  place.append(toast);
  let timer = setTimeout(() => toast.remove(), duration);
  toast.addEventListener('pointerenter', () => clearTimeout(timer));
  toast.addEventListener('pointerleave', () => {
    timer = setTimeout(() => toast.remove(), SHORT);
  });
}

/** A list of cards that grows as it is scrolled, so that thousands cost no more than what is seen. */

import { cardOf } from './cards.js';
import { el } from './dom.js';

const growing = new WeakMap();
const watcher = new IntersectionObserver(
  (entries) => entries.forEach((entry) => entry.isIntersecting && growing.get(entry.target)?.grow()),
  { rootMargin: '300px', scrollMargin: '600px' },
);

/** The cards of one status, in one lane. */
export class Cell {
  constructor(label, step) {
    this.label = label;
    this.step = step;
    this.limit = step;
    this.cards = [];
    this.list = el('ul.cell', { 'aria-label': label });
    this.button = el('button.quiet', { type: 'button', tabIndex: -1, on: { click: () => this.grow() } });
    this.more = el('li.more', {}, this.button);
    growing.set(this.more, this);
  }

  /** Shows these cards, touching only what is not in its place already. */
  fill(cards) {
    this.cards = cards;
    this.sync();
  }

  grow() {
    if (this.cards.length <= this.limit) return;
    this.limit += this.step;
    this.sync();
  }

  /** Makes sure that the card at this place is on the page. */
  reach(index) {
    while (index >= this.limit && this.cards.length > this.limit) this.grow();
  }

  sync() {
    let next = this.list.firstElementChild;
    const shown = this.cards.slice(0, this.limit);
    const wanted = new Set(shown.map((card) => String(card.id)));
    for (const card of shown) {
      while (next && next !== this.more && !wanted.has(next.dataset.id)) {
        const old = next;
        next = next.nextElementSibling;
        old.remove();
      }
      const node = cardOf(card);
      if (node === next) next = next.nextElementSibling;
      else this.list.insertBefore(node, next);
    }
    while (next) {
      const old = next;
      next = next.nextElementSibling;
      old.remove();
    }
    watcher.unobserve(this.more);
    const rest = this.cards.length - shown.length;
    if (!rest) return;
    this.button.textContent = `${rest} more`;
    this.list.append(this.more);
    watcher.observe(this.more);
  }
}

/** The links between the board and the fleet's figures. */

import { query, setQuery } from './address.js';

/** Makes the links change the view without loading the page anew. */
export function startViews() {
  for (const link of document.querySelectorAll('#views a')) {
    link.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const view = link.dataset.view === 'fleet' ? 'fleet' : '';
      if (view !== query().view) setQuery({ view }, { push: true });
    });
  }
}

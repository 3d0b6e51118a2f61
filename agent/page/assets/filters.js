/** Which cards are shown: project, type, pod and text, kept in the address. */

import { onAddress, query, setQuery } from './address.js';
import { byId, calm, el, fill } from './dom.js';
import * as state from './state.js';

const SELECTS = { project: 'filter-project', type: 'filter-type', pod: 'filter-pod' };

/** Whether a card passes the filters of the address. */
export function passing() {
  const { project, type, pod, q } = query();
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  return (card) =>
    (!project || state.project(card.project)?.identifier === project) &&
    (!type || String(card.type) === type) &&
    (!pod || card.pod === pod || card.claim?.pod === pod) &&
    words.every((word) => holds(card, word));
}

function holds(card, word) {
  const number = /^#?(\d+)$/.exec(word);
  if (number && String(card.id).startsWith(number[1])) return true;
  if (card.subject.toLowerCase().includes(word) || card.pod.toLowerCase().includes(word)) return true;
  return card.reasons.some((one) => one.reason.toLowerCase().startsWith(word));
}

/** Whether any filter is set. */
export function isFiltered() {
  const { project, type, pod, q } = query();
  return Boolean(project || type || pod || q);
}

/** Wires the controls of the top bar. */
export function startFilters() {
  const search = byId('search');
  search.addEventListener(
    'input',
    calm(120, () => setQuery({ q: search.value.trim() })),
  );
  byId('filters').addEventListener('submit', (event) => event.preventDefault());
  for (const [key, id] of Object.entries(SELECTS))
    byId(id).addEventListener('change', () => setQuery({ [key]: byId(id).value }));
  byId('filter-clear').addEventListener('click', () => {
    setQuery({ project: '', type: '', pod: '', q: '' });
    search.focus();
  });
  byId('lanes').addEventListener('click', () => setQuery({ lanes: query().lanes ? '' : 'epic' }));
  state.onChange(({ all, pods }) => (all || pods) && show());
  onAddress(show);
}

function show() {
  if (!state.board.catalog) return;
  const { project, type, pod, q, lanes } = query();
  const { projects, types } = state.board.catalog;
  options(
    SELECTS.project,
    'All projects',
    projects.map((one) => [one.identifier, one.name]),
    project,
  );
  options(
    SELECTS.type,
    'All types',
    types.map((one) => [String(one.id), one.name]),
    type,
  );
  options(
    SELECTS.pod,
    'All pods',
    state.podNames().map((name) => [name, name]),
    pod,
  );
  const search = byId('search');
  if (document.activeElement !== search && search.value !== q) search.value = q;
  byId('lanes').setAttribute('aria-pressed', String(Boolean(lanes)));
  byId('filter-clear').hidden = !isFiltered();
}

function options(id, all, pairs, chosen) {
  const select = byId(id);
  if (chosen && !pairs.some(([value]) => value === chosen)) pairs = [...pairs, [chosen, chosen]];
  const wanted = JSON.stringify(pairs);
  if (select.dataset.options !== wanted) {
    fill(
      select,
      el('option', { value: '' }, all),
      pairs.map(([value, text]) => el('option', { value }, text)),
    );
    select.dataset.options = wanted;
  }
  select.value = chosen;
  select.classList.toggle('chosen', Boolean(chosen));
}

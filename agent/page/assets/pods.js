/** The strip of pods: what each does, since when, and below which Epic. */

import { query, setQuery, onAddress } from './address.js';
import { byId, el, fill, icon, unseen } from './dom.js';
import * as state from './state.js';
import { running } from './times.js';

/** Starts to show the pods and keeps them up to date. */
export function startPods() {
  state.onChange(({ all, pods, cards }) => {
    if (all || pods) show();
    if (all || pods || [...cards].some((id) => asked.has(id) || isAsked(id))) ask();
  });
  onAddress(mark);
}

let asked = new Set();

const isAsked = (id) => state.board.cards.has(id) && state.isQuestion(state.board.cards.get(id));

/** Open Spikes are what people are needed for: one click away. */
function ask() {
  const open = [...state.board.cards.values()].filter(state.isQuestion);
  asked = new Set(open.map((card) => card.id));
  const place = byId('questions');
  place.hidden = !open.length;
  byId('pods').hidden = !open.length && !state.board.pods.length;
  if (!open.length) return;
  const [first] = open;
  const text = open.length === 1 ? '1 Spike waits for an answer' : `${open.length} Spikes wait for an answer`;
  const more = el(
    'button.small',
    { type: 'button', on: { click: () => setQuery({ view: '', type: String(first.type) }) } },
    'Show them',
  );
  fill(
    place,
    el('p.pod-head', {}, icon('spiked'), el('b', {}, text)),
    el(
      'p.pod-doing',
      {},
      el('a', { href: `#wp=${first.id}` }, el('span.number', {}, `#${first.id}`), ' ', first.subject),
    ),
    el('p.pod-foot', {}, open.length > 1 && more),
  );
}

function show() {
  const { pods } = state.board;
  const held = document.activeElement?.closest?.('.pod-card')?.dataset.pod;
  const order = (pod) => (pod.doing ? 0 : 1);
  const sorted = [...pods].sort((one, other) => order(one) - order(other) || one.name.localeCompare(other.name));
  fill(
    byId('pod-list'),
    sorted.map((pod) => el('li', {}, podCard(pod))),
  );
  mark();
  if (held)
    byId('pod-list')
      .querySelector(`[data-pod="${CSS.escape(held)}"] button`)
      ?.focus();
}

function podCard(pod) {
  const filter = el(
    'button.pod-name',
    {
      type: 'button',
      'aria-pressed': 'false',
      title: `Show only what ${pod.name} has or gets`,
      on: { click: () => toggle(pod.name) },
    },
    pod.name,
  );
  const head = el(
    'p.pod-head',
    {},
    el('span.pod-dot', { 'aria-hidden': 'true' }),
    filter,
    el('span.pod-state', {}, pod.doing ? running(pod.doing.since, 'clock') : words(pod)),
  );
  return el(
    `article.pod-card.${pod.doing ? 'working' : 'idle'}`,
    { data: { pod: pod.name } },
    head,
    pod.doing
      ? el(
          'p.pod-doing',
          {},
          el('a', { href: `#wp=${pod.doing.id}` }, el('span.number', {}, `#${pod.doing.id}`), ' ', pod.doing.subject),
        )
      : el('p.pod-doing.muted', {}, pod.seen ? ['last seen ', running(pod.seen, 'ago')] : 'not seen yet'),
    el(
      'p.pod-foot',
      {},
      pod.epic && el('a', { href: `#wp=${pod.epic.id}` }, unseen('Epic '), pod.epic.subject),
      pod.doing?.try > 1 && el('span', {}, `try ${pod.doing.try}`),
      pod.routed > 0 && el('span', {}, `${pod.routed} routed`),
    ),
  );
}

const words = (pod) => (pod.state === 'working' ? 'idle' : pod.state);

function toggle(name) {
  setQuery({ pod: query().pod === name ? '' : name });
}

function mark() {
  const { pod } = query();
  for (const card of byId('pod-list').querySelectorAll('.pod-card')) {
    card.querySelector('button').setAttribute('aria-pressed', String(card.dataset.pod === pod));
  }
}

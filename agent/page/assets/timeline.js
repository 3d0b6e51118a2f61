/** The audit trail as a timeline: who did what, with commits, tokens and cost. */

import * as api from './api.js';
import { el, fill, icon, trusted } from './dom.js';
import { compact, count, money, running } from './times.js';
import { complain } from './toasts.js';

/** A part of the panel. What was shown once stays: older entries that were asked for, and those that newer ones push out. */
export function timelinePart(id) {
  const node = el('section.timeline');
  const known = new Map();
  let told = '';
  let left = 0;

  /** Adds entries of which `earlier` come before the first. */
  function take({ timeline, earlier }) {
    const oldest = Math.min(...known.keys());
    if (!known.size || timeline.some((one) => one.id < oldest)) left = earlier;
    for (const one of timeline) known.set(one.id, one);
    const entries = [...known.values()].sort((one, other) => one.id - other.id);
    const signature = JSON.stringify([entries, left]);
    if (signature === told) return;
    told = signature;
    fill(
      node,
      el('h3', { tabIndex: -1 }, 'What happened ', el('span.summary', {}, summary(entries))),
      left > 0 && entries.length > 0 && more(entries[0].id),
      el('ol', {}, entries.map(entryOf)),
    );
  }

  function more(first) {
    const button = el('button.small.earlier', { type: 'button', on: { click: load } }, 'Show earlier entries');
    async function load() {
      button.disabled = true;
      try {
        const found = await api.earlier(id, first);
        const before = node.offsetHeight;
        take(found);
        // What was read stays where it is.
        node.closest('#panel').scrollTop += node.offsetHeight - before;
        (node.querySelector('button.earlier') ?? node.querySelector('h3')).focus({ preventScroll: true });
      } catch (refusal) {
        complain(refusal.message);
      } finally {
        button.disabled = false;
      }
    }
    return el('p.muted', {}, `${count(left)} earlier ${left === 1 ? 'entry is' : 'entries are'} left out here. `, button);
  }

  return { node, update: take };
}

function summary(timeline) {
  const runs = new Set(timeline.map((one) => one.run).filter(Boolean)).size;
  const tokens = timeline.reduce((sum, one) => sum + (one.tokens ? one.tokens.input + one.tokens.output : 0), 0);
  const cost = timeline.reduce((sum, one) => sum + (one.cost_usd ?? 0), 0);
  return [runs && `${runs} ${runs === 1 ? 'run' : 'runs'}`, tokens && `${compact(tokens)} tokens`, cost && money(cost)]
    .filter(Boolean)
    .join(' · ');
}

/** Whether a person speaks in it; what is said soon after the creation is one entry with it. */
export const isSaid = (entry) => ['comment', 'created'].includes(entry.kind) && entry.html !== '' && !entry.user.fleet;

function entryOf(entry) {
  const who = entry.kind === 'event' && entry.pod ? entry.pod : entry.user.name;
  const look = isSaid(entry) ? 'person' : entry.kind;
  return el(
    `li.entry.${look}`,
    { data: entry.event ? { event: entry.event } : {} },
    el(
      'p.entry-head',
      {},
      el('b', {}, who),
      el('span.run', { title: entry.run && `Run ${entry.run}` }, entry.run ? `run ${entry.run.slice(0, 4)}` : ''),
      running(entry.at, 'ago'),
    ),
    (entry.title || entry.kind === 'created') && el('p.entry-title', {}, titleOf(entry)),
    entry.html && trusted('div.prose', entry.html),
    changesOf(entry),
    chips(entry),
  );
}

/** The first line without what stands beside it already: the session is the run, tokens are a chip. */
function titleOf({ title, run, tokens, spike }) {
  if (!title) return 'Created this work package';
  const short = title.replace(` — session ${run}`, '');
  if (tokens) return short.replace(/, \d+ input tokens \/ \d+ output tokens$/, '');
  const [before, after] = short.split(`#${spike}`);
  return spike && after !== undefined ? [before, el('a', { href: `#wp=${spike}` }, `#${spike}`), after] : short;
}

/** What a run changes besides the status goes without saying, and is one click away. */
function changesOf({ changes, kind }) {
  const list = (texts) =>
    texts.length > 0 &&
    el(
      'ul',
      {},
      texts.map((one) => el('li', {}, one)),
    );
  const isLoud = (one) => kind !== 'event' || one.startsWith('Status');
  const [loud, quiet] = [changes.filter(isLoud), changes.filter((one) => !isLoud(one))];
  if (!changes.length) return null;
  return el(
    'div.changes',
    {},
    list(loud),
    quiet.length > 0 &&
      el(
        'details',
        {},
        el('summary', {}, `${quiet.length} more ${quiet.length === 1 ? 'change' : 'changes'}`),
        list(quiet),
      ),
  );
}

function chips(entry) {
  const found = [
    ...entry.commits.map((commit) => chip('commit', commit.hash.slice(0, 10), commit.url)),
    entry.branch && chip('branch', entry.branch, entry.branch_url),
    entry.tokens && chip(null, `${compact(entry.tokens.input)} in / ${compact(entry.tokens.output)} out`),
    entry.cost_usd !== null && chip(null, money(entry.cost_usd)),
    entry.duration && chip(null, entry.duration),
  ].filter(Boolean);
  return found.length ? el('p.chips', {}, found) : null;
}

function chip(sign, text, url) {
  const inner = [sign && icon(sign), text];
  return /^https?:\/\//.test(url ?? '')
    ? el('a.chip', { href: url, rel: 'noopener noreferrer', target: '_blank' }, inner)
    : el('span.chip', {}, inner);
}

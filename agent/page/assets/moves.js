/** Changing a work package: shown at once, sent with the lock that was seen, and put right if the board says no. */

import * as api from './api.js';
import * as state from './state.js';
import { complain, say, warn } from './toasts.js';

/** The sentence of a conflict. */
export const conflictSentence = (id) =>
  `#${id} was changed by somebody meanwhile; here is how it is now. Nothing was overwritten.`;

/** Moves a card, as the person saw it, to a status. */
export async function moveTo(card, statusId) {
  const { id, lock } = card;
  if (card.status === statusId) return false;
  const name = state.status(statusId).name;
  state.expect(id, { status: statusId });
  const stops =
    card.claim && state.status(card.status)?.role === 'active'
      ? ` ${card.claim.pod} stops its run and keeps the work.`
      : '';
  return save(id, lock, { _links: { status: api.link('statuses', statusId) } }, `#${id} moved to ${name}.${stops}`);
}

/** Sends a change; says what became of it. True if the board took it. */
export async function save(id, lock, body, done) {
  try {
    const answer = await api.change(id, lock, body);
    await refresh(id, answer);
    state.settle(id);
    say(done);
    return true;
  } catch (refusal) {
    await refused(id, refusal);
    return false;
  }
}

/** Puts a card as the board has it, and says the sentence of a refusal. */
export async function refused(id, refusal) {
  if (!(refusal instanceof api.Refusal)) throw refusal;
  await refresh(id).catch(() => {});
  state.settle(id);
  if (refusal.status === 409) warn(conflictSentence(id));
  else if (refusal.status !== 401) complain(refusal.message);
}

const readers = new Set();

/** Calls `listener` with whatever was asked anew of a work package: after one's own change nobody has to wait for the stream. */
export function onDetail(listener) {
  readers.add(listener);
}

/** Asks for one work package and takes its card over. A visible answer of a change is enough where asking fails. */
export async function refresh(id, answer) {
  try {
    const detail = await api.detail(id);
    state.apply({ changed: [detail.card] });
    for (const listener of readers) listener(detail);
    return detail;
  } catch (refusal) {
    if (refusal.status === 404) state.apply({ gone: [id] });
    if (!answer) throw refusal;
    return null;
  }
}

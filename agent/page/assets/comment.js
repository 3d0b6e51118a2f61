/** Saying something: a comment, or the answer that closes a Spike. A draft outlives the panel and the session. */

import * as api from './api.js';
import { el } from './dom.js';
import { area } from './fields.js';
import { conflictSentence, refresh } from './moves.js';
import * as state from './state.js';
import { isSaid } from './timeline.js';
import { say, warn } from './toasts.js';

const DRAFT = 'agent-draft-';

/** A part of the panel. */
export function commentPart(id) {
  const text = area('comment', sessionStorage.getItem(DRAFT + id) ?? '', 'Comment');
  const answer = el('button.primary.answer', { type: 'button' }, 'Answer and close the Spike');
  const only = el('button', {}, 'Comment');
  const alert = el('p.alert', { role: 'alert' });
  const form = el('form.comment', {}, el('h3'), text, alert, el('p.buttons', {}, answer, only));
  let detail = null;

  const keep = () =>
    text.value ? sessionStorage.setItem(DRAFT + id, text.value) : sessionStorage.removeItem(DRAFT + id);
  text.addEventListener('input', keep);
  text.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    send(false);
  });
  answer.addEventListener('click', () => send(true));

  /** What was typed after what was sent stays. */
  function clear(raw) {
    const typed = text.value.trimStart();
    if (typed.startsWith(raw)) text.value = typed.slice(raw.length).trimStart();
    keep();
  }

  async function send(closing) {
    // A key is not kept from it by a button that is disabled.
    if (only.disabled) return undefined;
    const raw = text.value.trim();
    let said = false;
    alert.textContent = '';
    if (!raw && !(closing && answered(detail))) {
      alert.textContent = closing ? 'Write the answer first: the next run reads it.' : 'Write something first.';
      return text.focus();
    }
    answer.disabled = only.disabled = true;
    try {
      // In this order: a Spike that is closed before its answer is there would send the fleet off without it.
      if (raw) {
        await api.comment(id, raw);
        said = true;
        clear(raw);
      }
      if (closing) await close();
      else say(`Your comment is on #${id}.`);
      await refresh(id, true);
    } catch (refusal) {
      alert.textContent =
        closing && said ? `Your answer is on #${id}, but it is still open: ${refusal.message}` : refusal.message;
      await refresh(id, true).catch(() => {});
    } finally {
      answer.disabled = only.disabled = false;
    }
    return undefined;
  }

  /** Nobody else's words are overwritten by closing, but a Spike that somebody changed is looked at first. */
  async function close() {
    const closed = closing(detail);
    try {
      await api.change(id, detail.card.lock, { _links: { status: api.link('statuses', closed.id) } });
      say(`#${id} is answered and closed. Its ticket goes back to the fleet.`);
    } catch (refusal) {
      if (refusal.status !== 409) throw refusal;
      warn(conflictSentence(id));
      throw new api.Refusal(409, 'somebody changed it meanwhile. Look at it once more, then close it.');
    }
  }

  return {
    node: form,
    update(fresh) {
      detail = fresh;
      const spike = state.type(fresh.card.type)?.kind === 'spike' && Boolean(closing(fresh));
      form.hidden = !fresh.actions.comment;
      answer.hidden = !spike;
      only.textContent = spike ? 'Comment only' : 'Comment';
      only.classList.toggle('primary', !spike);
      form.querySelector('h3').textContent = spike ? 'Your answer' : 'Comment';
      if (!spike) return;
      answer.textContent = answered(fresh) ? 'Close the Spike' : 'Answer and close the Spike';
    },
  };
}

/** The status that an open Spike is closed with, if the workflow has one. */
function closing({ card, actions }) {
  if (state.status(card.status)?.closed) return null;
  const allowed = state.board.catalog.statuses.filter((one) => one.closed && actions.statuses.includes(one.id));
  return allowed.find((one) => one.role === 'closed') ?? allowed[0] ?? null;
}

/** Whether a person has spoken on it. */
const answered = ({ timeline }) => timeline.some(isSaid);

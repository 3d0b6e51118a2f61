/** The form that edits a work package. What is typed stays typed, whatever happens on the board meanwhile. */

import * as api from './api.js';
import { el, fill } from './dom.js';
import { area, assigneeSelect, bodyOf, field, PROPERTIES, select, valuesOf } from './fields.js';
import { conflictSentence, refresh } from './moves.js';
import * as state from './state.js';
import { say, warn } from './toasts.js';

/** What was typed and neither saved nor cancelled, by work package: it is there again when the panel is opened again. */
const drafts = new Map();

/** A part of the panel: hidden until `open()`. `closed` is called when it is hidden again. */
export function editPart(closed) {
  const form = el('form.edit', { hidden: true, 'aria-label': 'Edit' });
  let base = null;
  let lock = 0;
  let detail = null;
  let controls = {};
  const alert = el('p.alert', { role: 'alert' });
  const submit = el('button.primary', {}, 'Save');

  const typedNow = () => Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, control.value]));
  const keep = () => drafts.set(detail.card.id, { base, lock, typed: typedNow() });

  function open(draft) {
    base = draft?.base ?? valuesOf(detail);
    lock = draft?.lock ?? detail.card.lock;
    const typed = draft?.typed ?? base;
    const { types, priorities } = state.board.catalog;
    controls = {
      subject: el('input', { name: 'subject', value: typed.subject, required: true, maxlength: 255 }),
      type: select(
        'type',
        types.map((one) => [one.id, one.name]),
        typed.type,
      ),
      priority: select(
        'priority',
        priorities.map((one) => [one.id, one.name]),
        typed.priority,
      ),
      assignee: assigneeSelect(detail.card.project, Number(typed.assignee)),
      due: el('input', { name: 'due', type: 'date', value: typed.due }),
      description: area('description', typed.description),
    };
    const wide = new Set(['subject', 'description']);
    alert.textContent = '';
    submit.textContent = 'Save';
    fill(
      form,
      alert,
      Object.entries(controls).map(([name, control]) =>
        field(PROPERTIES[name].label, control, { wide: wide.has(name) }),
      ),
      el('p.buttons', {}, submit, el('button', { type: 'button', on: { click: close } }, 'Cancel')),
    );
    form.hidden = false;
    if (draft && compare()) tellConflict();
    if (!draft) controls.subject.focus();
  }

  function close() {
    form.hidden = true;
    drafts.delete(detail.card.id);
    closed();
  }

  /** Shows beside each field what the board has now, if that is neither what was there nor what is typed. Whether somebody else did something. */
  function compare() {
    const now = valuesOf(detail);
    let theirs = false;
    const differ = Object.keys(controls).filter((name) => now[name] !== base[name]);
    for (const [name, control] of Object.entries(controls)) {
      const hint = control.nextElementSibling;
      const taken = () => {
        control.value = now[name];
        fill(hint);
      };
      if (!differ.includes(name)) continue;
      // What is typed may have arrived, and only its answer been lost.
      theirs ||= control.value !== now[name];
      if (control.value === now[name] || control.value === base[name]) taken();
      else
        fill(
          hint,
          'Now on the board: ',
          el('q', {}, PROPERTIES[name].shown(now[name])),
          ' ',
          el('button.small', { type: 'button', on: { click: taken } }, 'Use that'),
        );
    }
    base = now;
    lock = detail.card.lock;
    if (drafts.has(detail.card.id)) keep();
    return theirs;
  }

  function tellConflict() {
    alert.textContent = `${conflictSentence(detail.card.id)} What you typed is still here; saving again puts it in the place of what is there now.`;
    submit.textContent = 'Save mine';
  }

  form.addEventListener('input', keep);
  form.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    // What is typed is not thrown away by a key that closes so much else.
    event.stopPropagation();
    if (!drafts.has(detail.card.id)) close();
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const changed = Object.fromEntries(Object.entries(typedNow()).filter(([name, value]) => value !== base[name]));
    if (!Object.keys(changed).length) return close();
    submit.disabled = true;
    try {
      const { id } = detail.card;
      await api.change(id, lock, bodyOf(changed));
      close();
      say(`#${id} saved.`);
      await refresh(id, true);
    } catch (refusal) {
      if (refusal.status === 409) await conflict();
      else alert.textContent = refusal.message;
    } finally {
      submit.disabled = false;
    }
    return undefined;
  });

  async function conflict() {
    warn(conflictSentence(detail.card.id));
    try {
      detail = (await refresh(detail.card.id)) ?? detail;
      compare();
    } catch {
      // Not known how it is now: saving again asks again.
      lock = -1;
    }
    tellConflict();
  }

  return {
    node: form,
    open: () => open(),
    update(fresh) {
      const first = detail === null;
      if (!first && fresh.card.lock < detail.card.lock) return;
      detail = fresh;
      if (first && drafts.has(fresh.card.id) && fresh.actions.edit) open(drafts.get(fresh.card.id));
      else if (!form.hidden && !first && compare()) tellConflict();
    },
  };
}

/** The form that edits a work package. What is typed stays typed, whatever happens on the board meanwhile. */

import * as api from './api.js';
import { el, fill } from './dom.js';
import { area, assigneeSelect, bodyOf, field, PROPERTIES, select, valuesOf } from './fields.js';
import { conflictSentence, refresh } from './moves.js';
import * as state from './state.js';
import { say, warn } from './toasts.js';

/** A part of the panel: hidden until `open()`. `closed` is called when it is hidden again. */
export function editPart(closed) {
  const form = el('form.edit', { hidden: true, 'aria-label': 'Edit' });
  let base = null;
  let lock = 0;
  let detail = null;
  let controls = {};
  const alert = el('p.alert', { role: 'alert' });
  const submit = el('button.primary', {}, 'Save');

  function open() {
    base = valuesOf(detail);
    lock = detail.card.lock;
    const { types, priorities } = state.board.catalog;
    controls = {
      subject: el('input', { name: 'subject', value: base.subject, required: true, maxlength: 255 }),
      type: select('type', types.map((one) => [one.id, one.name]), base.type),
      priority: select('priority', priorities.map((one) => [one.id, one.name]), base.priority),
      assignee: assigneeSelect(detail.card.project, detail.card.assignee),
      due: el('input', { name: 'due', type: 'date', value: base.due }),
      description: area('description', base.description),
    };
    const wide = new Set(['subject', 'description']);
    alert.textContent = '';
    submit.textContent = 'Save';
    fill(
      form, alert,
      Object.entries(controls).map(([name, control]) => field(PROPERTIES[name].label, control, { wide: wide.has(name) })),
      el('p.buttons', {}, submit, el('button', { type: 'button', on: { click: close } }, 'Cancel')),
    );
    form.hidden = false;
    controls.subject.focus();
  }

  function close() {
    form.hidden = true;
    base = null;
    closed();
  }

  /** Shows beside each field what the board has now, if that is neither what was there nor what is typed. */
  function compare() {
    const now = valuesOf(detail);
    const differ = Object.keys(controls).filter((name) => now[name] !== base[name]);
    for (const [name, control] of Object.entries(controls)) {
      const hint = control.nextElementSibling;
      const taken = () => {
        control.value = now[name];
        fill(hint);
      };
      if (!differ.includes(name)) continue;
      if (control.value === now[name] || control.value === base[name]) taken();
      else fill(hint, 'Now on the board: ', el('q', {}, PROPERTIES[name].shown(now[name])), ' ', el('button.small', { type: 'button', on: { click: taken } }, 'Use that'));
    }
    base = now;
    lock = detail.card.lock;
    return differ.length > 0;
  }

  function tellConflict() {
    alert.textContent = `${conflictSentence(detail.card.id)} What you typed is still here; saving again puts it in the place of what is there now.`;
    submit.textContent = 'Save mine';
  }

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const changed = Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, control.value]).filter(([name, value]) => value !== base[name]));
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
      lock = -1;
    }
    tellConflict();
  }

  return {
    node: form,
    open,
    isOpen: () => !form.hidden,
    update(fresh) {
      const first = detail === null;
      if (!first && fresh.card.lock < detail.card.lock) return;
      detail = fresh;
      if (!form.hidden && !first && compare()) tellConflict();
    },
  };
}

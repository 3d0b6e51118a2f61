/** The dialog that makes a work package. */

import * as api from './api.js';
import { query, setOpen } from './address.js';
import { openDialog } from './dialogs.js';
import { byId, el, fill } from './dom.js';
import { area, field, offerWorkPackages, podInput, select } from './fields.js';
import { refresh } from './moves.js';
import * as state from './state.js';
import { say } from './toasts.js';

/** What was typed into a dialog that was closed and not cancelled: it is there again the next time. */
let draft = null;

/** Opens the dialog; project and parent may be given. */
export function openCreate({ project, parent } = {}) {
  const { projects, types, priorities } = state.board.catalog;
  const allowed = projects.filter((one) => one.may.create);
  const filtered = allowed.find((one) => one.identifier === query().project);
  const normal = priorities.find((one) => one.name === 'Normal') ?? priorities[Math.floor((priorities.length - 1) / 2)];
  const usual = types.find((one) => one.kind === 'task') ?? types[0];
  const above = parent && state.board.cards.get(parent);
  const controls = {
    project: select(
      'project',
      allowed.map((one) => [one.id, one.name]),
      project ?? filtered?.id ?? allowed[0]?.id,
    ),
    type: select(
      'type',
      types.map((one) => [one.id, one.name]),
      usual?.id,
    ),
    subject: el('input', { name: 'subject', required: true, maxlength: 255, autocomplete: 'off' }),
    priority: select(
      'priority',
      priorities.map((one) => [one.id, one.name]),
      normal?.id,
    ),
    parent: el('input', {
      name: 'parent',
      list: 'work-packages',
      autocomplete: 'off',
      placeholder: 'none',
      value: parent ? `#${parent} ${above?.subject ?? ''}`.trim() : '',
    }),
    pod: podInput(''),
    description: area('description', ''),
  };
  const given = new Set([project && 'project', parent && 'parent']);
  for (const [name, value] of Object.entries(draft ?? {})) if (!given.has(name)) controls[name].value = value;
  const alert = el('p.alert', { role: 'alert' });
  const submit = el('button.primary', {}, 'Create');
  const dialog = byId('create-dialog');
  const form = el(
    'form',
    {},
    alert,
    field('Subject', controls.subject, { wide: true }),
    field('Project', controls.project),
    field('Type', controls.type),
    field('Priority', controls.priority),
    field('Pod', controls.pod),
    field('Parent', controls.parent, { wide: true }),
    field('Description (Markdown)', controls.description, { wide: true }),
    el('p.buttons', {}, submit, el('button', { type: 'button', on: { click: done } }, 'Cancel')),
  );
  form.addEventListener('input', () => {
    draft = Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, control.value]));
  });
  function done() {
    draft = null;
    dialog.close();
  }
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    alert.textContent = '';
    submit.disabled = true;
    try {
      const made = await api.create(bodyOf(controls));
      done();
      say(`#${made.id} is on the board.`);
      await refresh(made.id, true);
      setOpen(made.id);
    } catch (refusal) {
      alert.textContent = refusal.message;
    } finally {
      submit.disabled = false;
    }
  });
  offerWorkPackages();
  fill(byId('create-body'), form);
  openDialog(dialog);
  controls.subject.focus();
}

function bodyOf(controls) {
  const parent = /^\s*#?(\d+)/.exec(controls.parent.value);
  if (controls.parent.value.trim() && !parent) throw new api.Refusal(422, 'Name the parent by its number, like #42.');
  const pod = controls.pod.value.trim();
  return {
    subject: controls.subject.value,
    description: { raw: controls.description.value },
    ...(pod && { [state.board.catalog.fields.pod]: pod }),
    _links: {
      project: api.link('projects', controls.project.value),
      type: api.link('types', controls.type.value),
      priority: api.link('priorities', controls.priority.value),
      ...(parent && { parent: api.link('work_packages', parent[1]) }),
    },
  };
}

/** Parts of forms: labelled controls, and what a change of them means to the API. */

import { link } from './api.js';
import { byId, el, fill } from './dom.js';
import * as state from './state.js';

const MOST_OFFERED = 400;

let serial = 0;

/** A label above a control, with room for a hint below it. */
export function field(label, control, { wide = false } = {}) {
  control.id ||= `field-${(serial += 1)}`;
  const hint = el('div.hint', { id: `${control.id}-hint` });
  control.setAttribute('aria-describedby', hint.id);
  return el(`div.field${wide ? '.wide' : ''}`, {}, el('label', { for: control.id }, label), control, hint);
}

/** A select; options are pairs of value and text. */
export function select(name, pairs, value) {
  const node = el(
    'select',
    { name },
    pairs.map(([id, text]) => el('option', { value: id ?? '' }, text)),
  );
  node.value = String(value ?? '');
  return node;
}

/** An input for the name of a pod, with the known ones to choose from. */
export const podInput = (value) =>
  el('input', {
    name: 'pod',
    list: 'pod-names',
    autocomplete: 'off',
    spellcheck: 'false',
    maxlength: 255,
    value: value ?? '',
    placeholder: 'any pod',
  });

/** Offers open work packages where one is asked for: those that hold others first, and no more than a list can show. */
export function offerWorkPackages() {
  const holds = (card) => (['bug', 'task', 'spike'].includes(state.type(card.type)?.kind) ? 1 : 0);
  const open = [...state.board.cards.values()].filter((card) => !state.status(card.status)?.closed);
  open.sort((one, other) => holds(one) - holds(other) || other.id - one.id);
  fill(
    byId('work-packages'),
    open.slice(0, MOST_OFFERED).map((card) => el('option', { value: `#${card.id} ${card.subject}` })),
  );
}

/** A select of the people and pods that a project allows as assignees. */
export function assigneeSelect(projectId, present) {
  const ids = new Set(state.board.catalog.assignees[projectId] ?? []);
  if (present) ids.add(present);
  const pairs = [...ids]
    .map((id) => [id, state.user(id)?.name ?? `User ${id}`])
    .sort((one, other) => one[1].localeCompare(other[1]));
  return select('assignee', [['', 'nobody'], ...pairs], present);
}

/** A text area that is as high as what is written in it. */
export function area(name, value, label) {
  const node = el('textarea', { name, rows: 4, value: value ?? '', 'aria-label': label });
  const grow = () => node.style.setProperty('height', `${Math.min(node.scrollHeight + 2, 480)}px`);
  node.addEventListener('input', grow);
  requestAnimationFrame(() => node.value && grow());
  return node;
}

/** The editable properties of a work package: how they are called, read, shown, and written to the API. */
export const PROPERTIES = {
  subject: {
    label: 'Subject',
    of: (detail) => detail.card.subject,
    shown: (value) => value,
    write: (value) => ({ subject: value }),
  },
  description: {
    label: 'Description',
    of: (detail) => detail.description.raw ?? '',
    shown: (value) => value || '(empty)',
    write: (value) => ({ description: { raw: value } }),
  },
  type: {
    label: 'Type',
    of: (detail) => String(detail.card.type),
    shown: (value) => state.type(Number(value))?.name,
    write: (value) => ({ _links: { type: link('types', value) } }),
  },
  priority: {
    label: 'Priority',
    of: (detail) => String(detail.card.priority),
    shown: (value) => state.priority(Number(value))?.name,
    write: (value) => ({ _links: { priority: link('priorities', value) } }),
  },
  assignee: {
    label: 'Assignee',
    of: (detail) => String(detail.card.assignee ?? ''),
    shown: (value) => (value ? state.user(Number(value))?.name : 'nobody'),
    write: (value) => ({ _links: { assignee: link('users', value) } }),
  },
  due: {
    label: 'Due',
    of: (detail) => detail.card.due ?? '',
    shown: (value) => value || 'no date',
    write: (value) => ({ dueDate: value || null }),
  },
};

/** All editable properties of a work package as texts. */
export const valuesOf = (detail) =>
  Object.fromEntries(Object.entries(PROPERTIES).map(([name, one]) => [name, one.of(detail)]));

/** The body of a change that sets these properties. */
export function bodyOf(values) {
  const body = {};
  for (const [name, value] of Object.entries(values)) {
    const { _links, ...rest } = PROPERTIES[name].write(value);
    Object.assign(body, rest);
    if (_links) body._links = { ...body._links, ..._links };
  }
  return body;
}

/** What surrounds a work package: its children and its relations, and new ones of both. */

import * as api from './api.js';
import { openCreate } from './create.js';
import { el, fill } from './dom.js';
import { reference } from './facts.js';
import { field, offerWorkPackages, select } from './fields.js';
import { refresh } from './moves.js';
import * as state from './state.js';
import { say } from './toasts.js';

const KINDS = [
  ['blocked', 'is blocked by'],
  ['blocks', 'blocks'],
  ['follows', 'follows'],
  ['precedes', 'precedes'],
  ['requires', 'requires'],
  ['relates', 'relates to'],
];

/** A part of the panel. */
export function relatedPart() {
  const node = el('section.related');
  const children = el('div');
  const relations = el('div');
  const form = relateForm();
  node.append(children, relations, form.node);
  return {
    node,
    update(detail) {
      const { card } = detail;
      const add =
        state.may(card).create &&
        el(
          'button.small.add',
          { type: 'button', on: { click: () => openCreate({ project: card.project, parent: card.id }) } },
          'Add a child',
        );
      fill(
        children,
        detail.children.length > 0 ? el('h3', {}, 'Children ', el('span.count', {}, detail.children.length), add) : add,
      );
      if (detail.children.length)
        children.append(
          el(
            'ul.references',
            {},
            detail.children.map((one) => el('li', {}, reference(one))),
          ),
        );
      fill(
        relations,
        detail.relations.length > 0 && el('h3', {}, 'Relations ', el('span.count', {}, detail.relations.length)),
      );
      for (const [kind, list] of byKind(detail.relations)) {
        relations.append(
          el('h4', {}, kind),
          el(
            'ul.references',
            {},
            list.map((one) => el('li', {}, reference(one.other))),
          ),
        );
      }
      form.update(detail);
    },
  };
}

function byKind(relations) {
  const found = new Map();
  for (const one of relations) found.set(one.kind, [...(found.get(one.kind) ?? []), one]);
  return found;
}

function relateForm() {
  const kind = select('kind', KINDS, 'blocked');
  const other = el('input', {
    name: 'other',
    list: 'work-packages',
    required: true,
    inputmode: 'numeric',
    pattern: '#?[0-9]+.*',
    placeholder: '#42',
    autocomplete: 'off',
  });
  const alert = el('p.alert', { role: 'alert' });
  const add = el('button', {}, 'Add');
  const form = el(
    'form.inline',
    {},
    field('This work package', kind),
    field('Other work package', other),
    add,
  );
  const node = el('details.relate', {}, el('summary', {}, 'Add a relation'), form, alert);
  let id = 0;
  node.addEventListener('toggle', () => node.open && offerWorkPackages());
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (add.disabled) return;
    const number = Number(/\d+/.exec(other.value)[0]);
    alert.textContent = '';
    add.disabled = true;
    try {
      await api.relate(id, kind.value, number);
      say(`#${id} ${kind.selectedOptions[0].textContent} #${number} now.`);
      other.value = '';
      node.open = false;
      await refresh(id, true);
    } catch (refusal) {
      alert.textContent = refusal.message;
    } finally {
      add.disabled = false;
    }
  });
  return {
    node,
    update(detail) {
      id = detail.card.id;
      node.hidden = !detail.actions.edit;
    },
  };
}

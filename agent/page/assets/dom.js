/** Small helpers around the DOM. Text from the board always becomes a text node; HTML only through `trusted`. */

const PROPERTIES = new Set([
  'value',
  'checked',
  'disabled',
  'hidden',
  'selected',
  'required',
  'tabIndex',
  'open',
  'type',
  'draggable',
]);

/**
 * An element: `el('button.primary', {type: 'button', on: {click}}, 'Save')`. Children are nodes or texts; null and false are left out.
 * `data` sets data attributes, `vars` CSS custom properties (the policy forbids style attributes), anything else an attribute.
 */
export function el(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split('.');
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(' ');
  for (const [name, value] of Object.entries(props)) set(node, name, value);
  append(node, children);
  return node;
}

function set(node, name, value) {
  if (value === null || value === undefined) return;
  if (name === 'on') for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
  else if (name === 'data') Object.assign(node.dataset, value);
  else if (name === 'vars') for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
  else if (PROPERTIES.has(name)) node[name] = value;
  else if (value !== false) node.setAttribute(name, value === true ? '' : String(value));
}

/** Adds children, flattening lists. */
export function append(node, children) {
  for (const child of [children].flat(Infinity))
    if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

/** Puts other children in the place of all there are. */
export function fill(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A block of HTML that the server made and sanitised; nothing else may come here. */
export function trusted(spec, html) {
  const node = el(spec);
  node.innerHTML = html;
  return node;
}

/** A coloured square that stands beside its text and means nothing without it. */
export const swatch = (color) => el('span.swatch', { 'aria-hidden': 'true', vars: color ? { '--swatch': color } : {} });

/** A text for screen readers alone. */
export const unseen = (text) => el('span.unseen', {}, text);

const SVG = 'http://www.w3.org/2000/svg';

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  return append(node, children);
}

const ICONS = {
  close: 'M4 4l8 8M12 4l-8 8',
  blocked: 'M4.2 4.2l7.6 7.6M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11z',
  gated: 'M3 13V6l5-3 5 3v7M6 13V9h4v4',
  spiked: 'M6.2 6a1.9 1.9 0 1 1 2.6 1.9c-.6.3-.8.7-.8 1.4M8 11.6v.2M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2z',
  routed: 'M2.5 8h10M9 4.5L12.5 8 9 11.5',
  owned: 'M3.5 13.5v-11M3.5 3h8l-1.8 2.6 1.8 2.6h-8',
  container: 'M2.5 5h11v8h-11zM4.5 2.8h7',
  taken: 'M8 8a2.6 2.6 0 1 0 0-5.2A2.6 2.6 0 0 0 8 8zM3 13.4c.4-2.4 2.4-3.6 5-3.6s4.6 1.2 5 3.6',
  commit: 'M1.5 8h3.7M10.8 8h3.7M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6z',
  branch:
    'M5 5v6M5 5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM5 14a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM11 6.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM11 6.5C11 9 8 9.5 5 11',
  link: 'M6.5 9.5l3-3M7 4.5l1-1a3 3 0 0 1 4.5 4.5l-1 1M9 11.5l-1 1A3 3 0 0 1 3.5 8l1-1',
};

/** A line icon; decoration, never the only bearer of a meaning. */
export function icon(name) {
  const path = svg('path', { d: ICONS[name] ?? ICONS.container });
  return svg('svg', { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true' }, path);
}

/** Calls a function once the calls for it have paused. */
export function calm(milliseconds, call) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...args), milliseconds);
  };
}

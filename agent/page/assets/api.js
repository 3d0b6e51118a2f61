/** Everything that is asked of the server. Whatever goes wrong is a `Refusal` with a sentence that people can read. */

/** An answer that was no success; `status` is 0 when there was no answer at all. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const SILENT = 'The board does not answer. What is shown may be old; it comes back by itself.';
const UNSURE = 'The board did not answer. If the change arrived, it will show here by itself.';
/** The sentence of a session that is over. */
export const ENDED = 'Your session has ended. Sign in again; you come back to where you were.';

let csrf = '';
let onSignedOut = () => {};

/** What is called when the server says that nobody is signed in any more. */
export function whenSignedOut(call) {
  onSignedOut = call;
}

async function ask(path, { method = 'GET', body } = {}) {
  const headers = {};
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (method !== 'GET') headers['x-csrf-token'] = csrf;
  let answer;
  let text;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
    });
    text = await answer.text();
  } catch {
    throw new Refusal(0, method === 'GET' ? SILENT : UNSURE);
  }
  const document = parsed(text);
  if (answer.ok) return document;
  throw new Refusal(answer.status, sentence(answer.status, document));
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

function sentence(status, document) {
  const several = (document?._embedded?.errors ?? []).map((one) => one.message).filter(Boolean);
  if (several.length) return several.join(' ');
  if (document?.message) return document.message;
  if (status === 403) return 'You are not allowed to do that.';
  if (status === 404) return 'That is not there, or you may not see it.';
  return `The board answered ${status} and did not say why.`;
}

async function asSomebody(path, options) {
  try {
    return await ask(path, options);
  } catch (refusal) {
    if (refusal.status === 401) onSignedOut(ENDED);
    throw refusal;
  }
}

/** Who is signed in, null if nobody. */
export async function session() {
  try {
    const found = await ask('/page/session');
    csrf = found.csrf;
    return found;
  } catch (refusal) {
    if (refusal.status === 401) return null;
    throw refusal;
  }
}

export const signIn = (token) => ask('/page/sign-in', { method: 'POST', body: { token } });
export const signOut = () => ask('/page/sign-out', { method: 'POST', body: {} });
export const board = () => asSomebody('/page/board');
export const detail = (id) => asSomebody(`/page/work-packages/${id}`);

/** The same with the part of the timeline that is older than one of its entries. */
export const earlier = (id, entry) => asSomebody(`/page/work-packages/${id}?before=${entry}`);

export const fleet = (days) => asSomebody(`/page/fleet?days=${days}`);

/** Changes a work package, provided it is still at this lockVersion; 409 otherwise. */
export const change = (id, lock, body) =>
  asSomebody(`/api/v3/work_packages/${id}`, { method: 'PATCH', body: { lockVersion: lock, ...body } });

/** Makes a work package. */
export const create = (body) => asSomebody('/api/v3/work_packages', { method: 'POST', body });

/** Says something on a work package. */
export const comment = (id, raw) =>
  asSomebody(`/api/v3/work_packages/${id}/activities`, { method: 'POST', body: { comment: { raw } } });

/** Relates a work package to another. */
export const relate = (id, type, other) =>
  asSomebody(`/api/v3/work_packages/${id}/relations`, {
    method: 'POST',
    body: { type, _links: { to: link('work_packages', other) } },
  });

/** A link of the API, to nothing if there is no id. */
export const link = (collection, id) => ({ href: id ? `/api/v3/${collection}/${id}` : null });

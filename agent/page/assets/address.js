/** The page's address: filters and view in the query, the open work package in the fragment. */

const KEYS = ['project', 'type', 'pod', 'q', 'lanes', 'view', 'days'];
const listeners = new Set();

/** Calls a listener after every change of the address, whoever made it. */
export function onAddress(listener) {
  listeners.add(listener);
}

const tell = () => listeners.forEach((listener) => listener());

/** The query as an object of texts. */
export function query() {
  const params = new URLSearchParams(location.search);
  return Object.fromEntries(KEYS.map((key) => [key, params.get(key) ?? '']));
}

/** Changes some of the query; what is empty leaves the address. */
export function setQuery(changes, { push = false } = {}) {
  const wanted = { ...query(), ...changes };
  const params = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
  const search = params.size ? `?${params}` : '';
  if (search !== location.search)
    history[push ? 'pushState' : 'replaceState'](null, '', location.pathname + search + location.hash);
  tell();
}

/** The id of the open work package, null if none. */
export function openId() {
  const found = /^#wp=(\d{1,15})$/.exec(location.hash);
  return found ? Number(found[1]) || null : null;
}

/** Opens a work package, or none. */
export function setOpen(id) {
  if (id === openId()) return;
  history.pushState(null, '', location.pathname + location.search + (id ? `#wp=${id}` : ''));
  tell();
}

/** Takes a token out of a sign-in link, and out of the address and its history at once. */
export function takeToken() {
  const found = /^#token=([^&]+)/.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, '', location.pathname + location.search);
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}

addEventListener('popstate', tell);
addEventListener('hashchange', tell);

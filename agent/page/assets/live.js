/** Changes as they happen: one stream of events, taken up again after whatever cut it. */

import * as api from './api.js';
import { byId } from './dom.js';
import * as state from './state.js';

const PAUSES = [500, 1000, 2000, 5000, 10000];
const REST = 20000;
const TEXTS = { live: 'Live', waiting: 'Reconnecting', off: 'Offline' };

let source = null;
let timer = 0;
let resting = 0;
let failures = 0;
let onSignedOut = () => {};

addEventListener('offline', () => source && tell('off'));
addEventListener('pageshow', ({ persisted }) => persisted && source && retry());

/** Starts to listen. `signedOut` is called when the session is over. */
export function startLive(signedOut) {
  onSignedOut = signedOut;
  listen();
  addEventListener('online', again);
  addEventListener('pagehide', rest);
  document.addEventListener('visibilitychange', seen);
  if (document.hidden) seen();
}

/** A tab that nobody looks at lets go of its stream: browsers have few connections for one server, and all tabs share them. */
function seen() {
  clearTimeout(resting);
  if (document.hidden) resting = setTimeout(rest, REST);
  else if (source?.readyState === EventSource.CLOSED) retry();
}

function rest() {
  clearTimeout(timer);
  source?.close();
}

/** Stops to listen. */
export function stopLive() {
  clearTimeout(timer);
  clearTimeout(resting);
  for (const [name, listener] of [
    ['online', again],
    ['pagehide', rest],
  ])
    removeEventListener(name, listener);
  document.removeEventListener('visibilitychange', seen);
  source?.close();
  source = null;
}

function again() {
  if (!source) return;
  clearTimeout(timer);
  source.close();
  listen();
}

function listen() {
  source = new EventSource(`/page/events?version=${encodeURIComponent(state.board.version)}`);
  source.addEventListener('open', () => {
    failures = 0;
    tell('live');
  });
  source.addEventListener('board', ({ data }) => {
    tell('live');
    const delta = JSON.parse(data);
    if (delta.changed.some(state.isStranger)) refetch();
    else state.apply(delta);
  });
  source.addEventListener('reset', refetch);
  source.addEventListener('signed-out', () => onSignedOut());
  source.addEventListener('error', lost);
}

/** A cut stream is taken up by the browser itself, with Last-Event-ID; a refused one it gives up, and we ask why. */
function lost() {
  tell(navigator.onLine ? 'waiting' : 'off');
  if (source?.readyState !== EventSource.CLOSED) return;
  clearTimeout(timer);
  timer = setTimeout(retry, PAUSES[Math.min(failures++, PAUSES.length - 1)]);
}

/** Whoever is signed in by now may be somebody else: then nothing of what is shown may stay. */
async function retry() {
  clearTimeout(timer);
  try {
    const found = await api.session();
    if (found === null) onSignedOut();
    else if (found.user.id !== state.board.session.user.id) location.reload();
    else if (source?.readyState === EventSource.CLOSED) listen();
  } catch {
    lost();
  }
}

async function refetch() {
  source?.close();
  try {
    state.load(await api.board());
    if (source) listen();
  } catch {
    lost();
  }
}

function tell(how) {
  const node = byId('live');
  if (node.dataset.state === how) return;
  node.dataset.state = how;
  byId('live-text').textContent = TEXTS[how];
}

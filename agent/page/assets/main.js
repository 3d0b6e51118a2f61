/** The page put together: who is signed in decides between the sign-in page and the board. */

import * as api from './api.js';
import { takeToken } from './address.js';
import { startColumns } from './columns.js';
import { openCreate } from './create.js';
import { startDialogs, startMoveMenu } from './dialogs.js';
import { byId, el, fill } from './dom.js';
import { startDrag } from './drag.js';
import { startFilters } from './filters.js';
import { startFleet } from './fleet.js';
import { startKeys } from './keys.js';
import { startLive, stopLive } from './live.js';
import { startPanel } from './panel.js';
import { startPods } from './pods.js';
import { forgetSignIn, hideSignIn, mayBeSignedIn, showSignIn, signIn, whenSignedInElsewhere } from './sign_in.js';
import * as state from './state.js';
import { complain } from './toasts.js';
import { startViews } from './views.js';
import { startClock } from './times.js';

const FAREWELL = 'agent-farewell';
const WHO = 'agent-user';

let started = false;

async function start() {
  const token = takeToken();
  let sentence = sessionStorage.getItem(FAREWELL) ?? '';
  sessionStorage.removeItem(FAREWELL);
  try {
    if (token) await signIn(token);
  } catch (refusal) {
    sentence = refusal.message;
  }
  await enter(sentence);
}

async function enter(sentence) {
  try {
    const session = mayBeSignedIn() ? await api.session() : null;
    if (!session) return leave(sentence || (mayBeSignedIn() ? api.ENDED : ''));
    if (isSomebodyElse(session)) return location.reload();
    const snapshot = await api.board();
    state.board.session = session;
    hideSignIn();
    startOnce();
    introduce(session);
    state.load(snapshot);
    startLive(() => leave(api.ENDED));
    // A link with a wrong token, opened by somebody who is signed in already.
    if (sentence) complain(sentence);
  } catch (refusal) {
    if (!(refusal instanceof api.Refusal)) throw refusal;
    if (refusal.status === 401) return undefined;
    showSignIn(refusal.message, enter);
    setTimeout(() => byId('sign-in').hidden || byId('token').value || enter(''), 3000);
  }
  return undefined;
}

/** Whether this tab shows what another person saw; what that one typed is forgotten here and now. */
function isSomebodyElse({ user }) {
  if (sessionStorage.getItem(WHO) !== String(user.id)) sessionStorage.clear();
  sessionStorage.setItem(WHO, user.id);
  return state.board.session !== null && state.board.session.user.id !== user.id;
}

function leave(sentence) {
  stopLive();
  forgetSignIn();
  showSignIn(sentence, enter);
}

function startOnce() {
  if (started) return;
  started = true;
  for (const part of [
    startFilters,
    startPods,
    startColumns,
    startFleet,
    startViews,
    startPanel,
    startKeys,
    startDrag,
    startDialogs,
    startMoveMenu,
    startClock,
  ])
    part();
  byId('new').addEventListener('click', () => openCreate());
  byId('sign-out').addEventListener('click', async () => {
    await api.signOut().catch(() => {});
    // The page is loaded anew: whoever comes next finds nothing of what was shown or typed.
    forgetSignIn();
    sessionStorage.clear();
    sessionStorage.setItem(FAREWELL, 'You are signed out.');
    location.replace('/');
  });
  state.onChange(({ all, pods }) => {
    if (all || pods)
      fill(
        byId('pod-names'),
        state.podNames().map((name) => el('option', { value: name })),
      );
  });
}

function introduce({ user, instance, writable }) {
  document.title = instance;
  byId('instance').textContent = instance;
  byId('who').textContent = user.name;
  byId('new').hidden = !writable;
  document.documentElement.classList.toggle('viewer', !writable);
  byId('viewer-note').hidden = writable;
}

api.whenSignedOut(leave);
whenSignedInElsewhere(() => {
  stopLive();
  enter('');
});
// A sign-in link that is opened where the page is shown already loads nothing by itself.
addEventListener('hashchange', () => location.hash.startsWith('#token=') && location.reload());
await start();

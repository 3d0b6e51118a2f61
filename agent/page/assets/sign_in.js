/** The sign-in page: an API token, or a link that carries one. */

import * as api from './api.js';
import { byId } from './dom.js';

const MARK = 'agent-signed-in';

/** The sign-in that this tab goes by; all tabs share one session. */
let mine = null;

/** Whether somebody signed in here before: the cookie cannot be seen, and asking without one is an error in every console. */
export function mayBeSignedIn() {
  mine = localStorage.getItem(MARK);
  return mine !== null;
}

/** Signs in, and remembers that it was done. */
export async function signIn(token) {
  await api.signIn(token);
  localStorage.setItem(MARK, String(Date.now()));
}

/** Nobody is signed in any more, unless somebody signed in anew in another tab. */
export function forgetSignIn() {
  if (localStorage.getItem(MARK) === mine) localStorage.removeItem(MARK);
}

/** Calls `call` when somebody has signed in in another tab. */
export function whenSignedInElsewhere(call) {
  addEventListener('storage', ({ key, newValue }) => key === MARK && newValue && call());
}

/** Shows the page, with a sentence on why one is here. `entered` is called after a sign-in. */
export function showSignIn(sentence, entered) {
  byId('page').hidden = true;
  byId('sign-in').hidden = false;
  document.title = 'Sign in';
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
  byId('sign-in-message').textContent = sentence ?? '';
  const form = byId('sign-in-form');
  const token = byId('token');
  form.onsubmit = async (event) => {
    event.preventDefault();
    const button = form.querySelector('button');
    button.disabled = true;
    try {
      await signIn(token.value.trim());
      token.value = '';
      await entered();
    } catch (refusal) {
      byId('sign-in-message').textContent = refusal.message;
      token.focus();
      token.select();
    } finally {
      button.disabled = false;
    }
  };
  token.focus();
}

/** Goes from the sign-in page to the board. */
export function hideSignIn() {
  byId('sign-in').hidden = true;
  byId('page').hidden = false;
}

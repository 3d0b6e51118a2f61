/** Times and figures for people, and the clock that keeps running durations running. */

const FULL = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const COUNT = new Intl.NumberFormat('en-GB');
const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

let ahead = 0;

/** Hears what time it is on the board: the browser's clock may be wrong, and ages are of the board's moments. */
export function setClock(iso) {
  ahead = Date.parse(iso) - Date.now();
}

/** 4711 as 4,711. */
export const count = (number) => COUNT.format(number);

/** 1234567 as 1.2M. */
export const compact = (number) => COMPACT.format(number);

/** Dollars. */
export const money = (dollars) => `$${dollars.toFixed(2)}`;

/** A moment in full. */
export const moment = (iso) => FULL.format(new Date(iso));

/** A day as 24 Nov. */
export const day = (iso) => DAY.format(new Date(iso.length === 10 ? `${iso}T12:00` : iso));

/** Seconds as people say them: 42 s, 12 min, 2 h 5 min, 3 d 4 h. */
export function spoken(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${Math.floor(hours / 24)} d`;
}

/** Seconds as a running clock: 0:07, 12:05, 1:02:03, then in words. */
function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole >= 86400) return spoken(whole);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, '0');
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

const WAYS = {
  clock: (seconds) => clock(seconds),
  age: (seconds) => spoken(seconds),
  ago: (seconds) => (seconds < 45 ? 'just now' : `${spoken(seconds)} ago`),
};

/** A <time> that keeps telling how long ago its moment was, as `clock`, `age` or `ago`. */
export function running(iso, way) {
  const node = document.createElement('time');
  node.dateTime = iso;
  node.dataset.way = way;
  node.title = moment(iso);
  tell(node);
  return node;
}

function tell(node) {
  const text = WAYS[node.dataset.way]((Date.now() + ahead - Date.parse(node.dateTime)) / 1000);
  if (node.textContent !== text) node.textContent = text;
}

/** Starts the clock: one timer for all running times on the page. */
export function startClock() {
  setInterval(() => {
    if (!document.hidden) document.querySelectorAll('time[data-way]').forEach(tell);
  }, 1000);
}

/** Small bar charts, drawn by hand, each with its figures as a table. */

import { el, svg } from './dom.js';
import { day } from './times.js';

const WIDTH = 380;
const HEIGHT = 140;
const FOOT = 18;
const TOP = 14;

/**
 * Bars by day. `series` are {name, look, of: row => number}, stacked from below; `told` writes a figure.
 */
export function bars(title, rows, series, told) {
  const sums = rows.map((row) => series.reduce((sum, one) => sum + one.of(row), 0));
  const most = Math.max(...sums, 0);
  const total = sums.reduce((sum, one) => sum + one, 0);
  const step = WIDTH / Math.max(rows.length, 1);
  const height = (value) => (most ? ((HEIGHT - FOOT - TOP) * value) / most : 0);
  const picture = svg('svg', {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    class: 'chart',
    role: 'img',
    'aria-label': `${title}: ${told(total)} in ${rows.length} days, at most ${told(most)} a day`,
  });
  picture.append(svg('line', { x1: 0, x2: WIDTH, y1: HEIGHT - FOOT + 0.5, y2: HEIGHT - FOOT + 0.5, class: 'axis' }));
  rows.forEach((row, index) => {
    let base = HEIGHT - FOOT;
    const group = svg(
      'g',
      { class: 'day' },
      svg('title', {}, `${day(row.day)}: ${series.map((one) => `${one.name} ${told(one.of(row))}`).join(', ')}`),
    );
    group.append(svg('rect', { x: index * step, y: 0, width: step, height: HEIGHT - FOOT, class: 'hit' }));
    for (const one of series) {
      const tall = height(one.of(row));
      if (!tall) continue;
      base -= tall;
      group.append(
        svg('rect', {
          x: index * step + step * 0.18,
          y: base,
          width: step * 0.64,
          height: tall,
          rx: 2,
          class: `bar ${one.look}`,
        }),
      );
    }
    if (sums[index] && sums[index] === most)
      group.append(svg('text', { x: index * step + step / 2, y: base - 4, class: 'figure' }, told(most)));
    if (index % Math.ceil(rows.length / 6) === 0)
      group.append(svg('text', { x: index * step + step / 2, y: HEIGHT - 4, class: 'label' }, day(row.day)));
    picture.append(group);
  });
  const legend =
    series.length > 1 &&
    el(
      'p.legend',
      {},
      series.map((one) => el('span', {}, el(`span.key.${one.look}`, { 'aria-hidden': 'true' }), one.name)),
    );
  return el(
    'section.figure',
    {},
    el('h3', {}, title, ' ', el('span.total', {}, told(total))),
    picture,
    legend,
    el(
      'details',
      {},
      el('summary', {}, 'As a table'),
      table(
        title,
        ['Day', ...series.map((one) => one.name)],
        rows.map((row) => [day(row.day), ...series.map((one) => told(one.of(row)))]),
      ),
    ),
  );
}

/** A table; the first column names the rows. */
export function table(caption, heads, rows) {
  return el(
    'div.table',
    { tabIndex: 0, role: 'region', 'aria-label': caption },
    el(
      'table',
      {},
      el('caption.unseen', {}, caption),
      el(
        'thead',
        {},
        el(
          'tr',
          {},
          heads.map((one) => el('th', { scope: 'col' }, one)),
        ),
      ),
      el(
        'tbody',
        {},
        rows.map(([name, ...values]) =>
          el(
            'tr',
            {},
            el('th', { scope: 'row' }, name),
            values.map((one) => el('td', {}, one)),
          ),
        ),
      ),
    ),
  );
}

/** One bar beside a text. It grows with the logarithm: minutes are still seen beside weeks. */
export function meter(value, most, look) {
  const picture = svg('svg', {
    viewBox: '0 0 100 8',
    class: 'meter',
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  });
  picture.append(
    svg('rect', {
      x: 0,
      y: 0,
      width: most ? (100 * Math.log1p(value)) / Math.log1p(most) : 0,
      height: 8,
      class: `bar ${look}`,
    }),
  );
  return picture;
}

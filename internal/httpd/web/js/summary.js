// A sortable table of a part of the status, for the pages Hosts and Clients.

import { h, set, keyed, name, painter } from './dom.js';
import { status } from './api.js';
import { head, notice, readEvery, table, empty } from './parts.js';
import { icon } from './icons.js';
import { readStatus } from './data.js';

export function mountTable(root, { title, signal, columns, rows, key, none, note, text }) {
  const problem = notice();
  const search = h('input', { type: 'search', placeholder: 'Filter by name', 'aria-label': 'Filter by name', 'data-search': '', value: text, autocomplete: 'off' });
  let sort = columns[1].key;
  let down = true;
  let list = [];
  const paint = painter(() => draw(), signal);
  const heads = columns.map((c) => h('button', {
    type: 'button', class: 'sort', on: {
      click() {
        down = sort === c.key ? !down : Boolean(c.num);
        sort = c.key;
        paint();
      },
    },
  }, c.title));
  const t = table(title, columns.map((c, i) => ({ title: c.title, content: heads[i], class: (c.num ? 'r ' : '') + (c.hide ? 'c-size' : '') })));
  const nothing = h('div', { hidden: true }, empty(...none));
  search.addEventListener('input', paint);
  root.append(head(title), problem,
    h('form', { class: 'filters', role: 'search', on: { submit: (e) => e.preventDefault() } }, h('div', { class: 'filter-row' }, h('label', { class: 'searchbox' }, icon('search'), search))),
    t, nothing, h('p', { class: 'muted' }, note));

  const compare = (a, b) => {
    const [x, y] = [a[sort], b[sort]];
    const order = typeof x === 'number' || typeof y === 'number' ? (x ?? 0) - (y ?? 0) : String(x ?? '').localeCompare(String(y ?? ''));
    return (down ? -order : order) || String(a[key]).localeCompare(String(b[key]));
  };
  const draw = () => {
    const wanted = search.value.trim().toLowerCase();
    const shown = list.filter((r) => String(r[columns[0].key]).toLowerCase().includes(wanted)).sort(compare);
    columns.forEach((c, i) => {
      const th = heads[i].closest('th');
      if (sort === c.key) th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      else th.removeAttribute('aria-sort');
    });
    t.hidden = shown.length === 0;
    nothing.hidden = list.length > 0;
    keyed(t.body, shown, (r) => r[key], (r) => {
      const cells = columns.map((c) => {
        const text = name('');
        return { c, text, td: h('td', { class: (c.num ? 'r num ' : 'wrap ') + (c.hide ? 'c-size' : '') }, c.link ? h('a', { class: 'rowlink', href: c.link(r) }, text) : text) };
      });
      return {
        el: h('tr', null, cells.map((x) => x.td)),
        update: (now) => cells.forEach(({ c, text }) => set(text, (c.show ?? ((v) => v ?? ''))(now[c.key] ?? (c.num ? 0 : '')))),
      };
    });
  };
  readEvery(3000, signal, problem, async () => {
    list = await rows(readStatus(await status(signal)), signal);
    draw();
  });
}

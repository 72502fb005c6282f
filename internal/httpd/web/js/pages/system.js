// System: version, and the configuration with the origin of each key.

import { h, keyed, name } from '../dom.js';
import { config, status } from '../api.js';
import { head, notice, readEvery, table, panel, facts } from '../parts.js';
import { icon } from '../icons.js';
import { readConfig } from '../data.js';
import * as f from '../format.js';

export function mount(root, { signal }) {
  const problem = notice();
  const missing = notice(); // the error of the configuration, which is read once
  const search = h('input', { type: 'search', placeholder: 'Filter by key, value or origin', 'aria-label': 'Filter the configuration', 'data-search': '', autocomplete: 'off' });
  const about = h('div');
  const t = table('Configuration', [{ title: 'Key' }, { title: 'Value' }, { title: 'Origin' }]);
  const count = h('span', { class: 'muted num', role: 'status' });
  let keys = [];
  root.append(head('System'), problem, panel('Dispatcher', about),
    h('section', { class: 'panel' }, h('h2', null, 'Configuration'), missing,
      h('form', { class: 'filters', role: 'search', on: { submit: (e) => e.preventDefault() } }, h('div', { class: 'filter-row' }, h('label', { class: 'searchbox' }, icon('search'), search), count)), t));
  const draw = () => {
    const wanted = search.value.trim().toLowerCase();
    const shown = keys.filter((k) => `${k.key} ${k.value} ${k.origin}`.toLowerCase().includes(wanted));
    count.textContent = `${f.count(shown.length)} of ${f.count(keys.length)} keys`;
    keyed(t.body, shown, (k) => k.key, (k) => ({
      el: h('tr', { class: k.origin === 'default' ? null : 'set' }, h('td', null, h('code', { class: 'rowlink', tabindex: 0 }, k.key)), h('td', { class: 'wrap value' }, name(k.value === '' ? '(empty)' : k.value)),
        h('td', null, k.origin === 'default' ? h('span', { class: 'muted' }, 'default') : h('span', { class: 'chip static' }, icon('system'), name(k.origin)))),
    }));
  };
  search.addEventListener('input', draw);
  config(signal).then((answer) => {
    keys = readConfig(answer);
    draw();
  }).catch((e) => { if (!signal.aborted) missing.show(e); });
  readEvery(10000, signal, problem, async () => {
    const s = await status(signal);
    about.replaceChildren(facts([
      ['Version', s.version], ['Role', s.role], ['Term', s.term ? f.count(s.term) : ''], ['Time of the dispatcher', f.full(s.time)],
      ['Difference to this clock', s.time ? f.duration(Math.abs(Date.now() - Date.parse(s.time)) / 1000) : ''], ['Tasks in the store', f.count(s.total_tasks)],
    ]));
  });
}

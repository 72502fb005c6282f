// Events: what happens now, the newest first.

import { h, keyed, painter, name } from '../dom.js';
import { head, table, badge, link, empty } from '../parts.js';
import { button } from '../dialog.js';
import { icon } from '../icons.js';
import { follow } from '../live.js';
import * as f from '../format.js';

const kept = 500; // events in memory; the oldest are dropped
const shown = 200;

export function mount(root, { signal }) {
  const events = [];
  let paused = false;
  let number = 0;
  let missed = 0;
  const text = h('input', { type: 'search', placeholder: 'Filter by task, client, worker or error', 'aria-label': 'Filter the events', 'data-search': '', autocomplete: 'off' });
  const kinds = ['task', 'worker', 'intake'].map((k) => h('label', { class: 'chip' }, h('input', { type: 'checkbox', class: 'sr', checked: true, 'aria-label': k + ' events', data: { kind: k } }), h('span', null, k)));
  const t = table('Events', [{ title: 'Time' }, { title: 'What' }, { title: 'Status' }, { title: 'Detail' }]);
  const none = h('div', null, empty('No event yet.', 'Events appear here as they happen. They are hints: the list of tasks is what counts.'));
  const pause = button('Pause', () => {
    paused = !paused;
    pause.lastChild.textContent = paused ? 'Continue' : 'Pause';
    pause.firstChild.replaceWith(icon(paused ? 'play' : 'paused'));
    if (!paused) missed = 0;
    paint();
  }, { icon: 'paused' });
  const count = h('span', { class: 'muted num', role: 'status' });
  root.append(head('Events', pause, button('Clear', () => { events.length = 0; paint(); })),
    h('form', { class: 'filters', role: 'search', on: { submit: (e) => e.preventDefault(), input: () => paint(), change: () => paint() } },
      h('div', { class: 'filter-row' }, h('label', { class: 'searchbox' }, icon('search'), text)), h('fieldset', { class: 'chips' }, h('legend', { class: 'sr' }, 'Kinds'), kinds)),
    count, t, none);
  const paint = painter(() => {
    const wanted = text.value.trim().toLowerCase();
    const on = kinds.map((k) => k.firstChild).filter((b) => b.checked).map((b) => b.dataset.kind);
    const list = events.filter((e) => on.includes(e.kind) && e.words.includes(wanted)).slice(0, shown);
    keyed(t.body, list, (e) => e.number, row);
    t.hidden = list.length === 0;
    none.hidden = list.length > 0;
    count.textContent = paused ? `Paused; ${f.counted(missed, 'event')} came since` : '';
  }, signal);
  paint();
  follow({
    types: ['task', 'worker', 'intake'],
    handle(kind, e) {
      if (kind === 'progress') return;
      if (paused) {
        missed++;
        return paint();
      }
      const detail = e.error?.message ?? e.result?.files?.[0]?.path ?? '';
      events.unshift({ number: number++, kind, e, detail, words: [e.id, e.client, e.worker_id, e.msg_id, e.status, detail].join(' ').toLowerCase() });
      if (events.length > kept) events.length = kept;
      paint();
    },
  }, signal);
}

function row({ kind, e, detail }) {
  const what = kind === 'worker' ? link('worker', e.id, e.id, 'rowlink') : e.id ? link('task', e.id, e.id.length > 26 ? '…' + e.id.slice(-12) : e.id, 'rowlink') : name('message ' + e.seq);
  const by = [kind, e.client, e.worker_id && 'on ' + e.worker_id, e.attempt ? 'attempt ' + e.attempt : ''].filter(Boolean).join(' · ');
  const status = kind === 'intake' ? (e.error ? 'rejected' : 'accepted') : e.status || (e.error ? 'failed' : kind);
  return {
    el: h('tr', null, h('td', { class: 'num' }, h('time', { datetime: e.at, title: f.full(e.at) }, f.clock(e.at))), h('td', { class: 'c-name' }, what, h('span', { class: 'sub muted clip' }, name(by))),
      h('td', null, badge(status)), h('td', { class: 'wrap' }, name(String(detail).slice(0, 2000)))),
  };
}


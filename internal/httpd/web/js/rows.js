// The rows of a table of tasks.

import { h, set, setAttr } from './dom.js';
import { badge, meter, table, cell, link } from './parts.js';
import * as f from './format.js';

// taskTable is a table of tasks; with select its first column selects all rows.
export function taskTable(select) {
  const all = h('input', { type: 'checkbox', 'aria-label': 'Select all rows of this page', on: { change: select ?? (() => {}) } });
  const t = table('Tasks', [
    ...(select ? [{ title: ' ', content: all, class: 'c-check' }] : []),
    { title: 'Status', class: 'c-status' }, { title: 'Name', class: 'c-name' }, { title: 'Progress', class: 'c-progress' },
    { title: 'Size', class: 'r c-size' }, { title: 'Speed', class: 'r c-speed' }, { title: 'Time left', class: 'r c-eta' },
    { title: 'Worker', class: 'c-worker' }, { title: 'Age', class: 'r c-age' },
  ]);
  t.classList.add('tasks');
  t.all = all;
  return t;
}

// taskRow is one row; select is called with whether it is selected.
export function taskRow(task, select) {
  const box = select && h('input', { type: 'checkbox', 'aria-label': 'Select ' + f.fileName(task), on: { change: (e) => select(e.target.checked) } });
  const status = badge(task.status);
  const title = h('bdi');
  const sub = h('span', { class: 'sub muted clip' });
  const bar = meter('Progress');
  const size = cell('r num c-size');
  const speed = cell('r num c-speed');
  const left = cell('r num c-eta');
  const worker = h('td', { class: 'c-worker clip' });
  const age = cell('r num c-age');
  const el = h('tr', null,
    select && h('td', { class: 'c-check' }, box),
    h('td', { class: 'c-status' }, status),
    h('td', { class: 'c-name' }, h('a', { class: 'rowlink clip', href: '#/task/' + encodeURIComponent(task.id) }, title), sub),
    h('td', { class: 'c-progress' }, bar), size, speed, left, worker, age);
  return {
    el,
    mark(on) {
      if (box) box.checked = on;
      el.classList.toggle('selected', on);
    },
    update(t) {
      status.show(t.status);
      const file = f.fileName(t);
      set(title, file.slice(0, 300));
      setAttr(title, 'title', file.slice(0, 2000));
      set(sub, subtitle(t));
      bar.show(t.status === 'completed' ? 100 : t.progress);
      size.show(t.total_length ? f.bytes(t.total_length) : t.completed_length ? f.bytes(t.completed_length) : '–');
      speed.show(t.status === 'downloading' ? f.speed(t.download_speed) : '–');
      const rest = f.eta(t);
      left.show(Number.isFinite(rest) ? f.duration(Math.ceil(rest)) : '–');
      const holder = t.worker_id || t.last_worker_id || '';
      if (worker.dataset.id !== holder) {
        worker.dataset.id = holder;
        worker.replaceChildren(holder ? link('worker', holder) : '–');
      }
      age.show(f.brief(t.created_at));
      setAttr(age, 'title', f.full(t.created_at));
    },
  };
}

// subtitle is what matters most beside the name: the error, why it waits, or the host.
function subtitle(t) {
  if (t.status === 'failed' && t.error) return t.error.message.slice(0, 300);
  if (t.status === 'pending' && t.reason) return t.reason.slice(0, 300);
  const parts = [f.host(t), t.client, t.id.slice(-8)];
  if (t.priority && t.priority !== 'normal' && t.priority !== 2) parts.push('priority ' + t.priority);
  return parts.filter(Boolean).join(' · ');
}


// One worker: what it holds, how it is, and how to drain or remove it.

import { h, append, set, keyed, painter, every, atMost, name } from '../dom.js';
import { getWorker, listTasks, explain } from '../api.js';
import { notice, badge, meter, panel, facts, table, cell, time, empty } from '../parts.js';
import { button, copy, command } from '../dialog.js';
import { onWorker } from '../actions.js';
import { follow } from '../live.js';
import { taskTable, taskRow } from '../rows.js';
import { icon } from '../icons.js';
import * as f from '../format.js';

const shownTasks = 100;

export function mount(root, { id, signal, focusHeading }) {
  const problem = notice();
  const body = h('div');
  const view = build(id);
  append(root, [problem, body]);
  let tasks = new Map();
  const load = async () => {
    try {
      const [worker, page] = await Promise.all([getWorker(id, signal), listTasks({ worker_id: id, limit: shownTasks }, signal)]);
      problem.show(null);
      tasks = new Map(page.tasks.map((t) => [t.id, t]));
      const first = !view.el.isConnected;
      if (first) body.replaceChildren(view.el);
      view.show(worker, page.tasks);
      if (first) focusHeading();
    } catch (e) {
      if (signal.aborted) return;
      if (e.code === 404 || e.code === 400) {
        body.replaceChildren(h('h1', { tabindex: -1 }, 'Worker'), empty(e.code === 404 ? 'There is no such worker.' : explain(e), id.slice(0, 200), h('a', { href: '#/workers' }, 'All workers')));
      } else problem.show(e);
    }
  };
  const refresh = every(3000, signal, load);
  const paint = painter(() => view.tasks([...tasks.values()]), signal);
  const soon = atMost(1000, signal, refresh);
  view.changed = load;
  follow({
    types: ['task', 'progress', 'worker'], resync: soon,
    handle(kind, e) {
      if (kind === 'worker') return e.id === id && e.status !== 'removed' && soon();
      const t = tasks.get(e.id);
      if (kind === 'progress' && t && t.attempt === e.attempt) {
        Object.assign(t, { progress: e.progress, completed_length: e.completed_length, total_length: e.total_length, download_speed: e.download_speed });
        paint();
      } else if (kind === 'task' && (t || e.worker_id === id)) soon();
    },
  }, signal);
}

function build(id) {
  const status = badge('online');
  const reason = h('span', { class: 'muted wrap' });
  const slots = meter('Slots in use');
  slots.classList.add('wide-meter');
  const about = h('div');
  const machine = h('div');
  const held = taskTable();
  const none = h('p', { class: 'muted' }, 'It holds no task.');
  const more = h('p', { class: 'muted' });
  const errors = table('Failures that the worker reported', [{ title: 'When' }, { title: 'Task' }, { title: 'Message' }]);
  const noErrors = h('p', { class: 'muted' }, 'It has reported no failure.');
  const view = { changed: () => {} };
  let now = null;
  const act = async (verb) => {
    if (await onWorker(verb, now)) {
      if (verb === 'remove') location.hash = '#/workers';
      else view.changed();
    }
  };
  const drain = button('Drain', () => act('drain'), { icon: 'draining', title: 'It finishes its tasks and gets no new ones' });
  const resume = button('Resume', () => act('resume'), { icon: 'play' });
  const drop = button('Remove', () => act('remove'), { icon: 'trash', kind: 'danger-quiet' });

  view.el = h('div', { class: 'stack' },
    h('nav', { class: 'crumbs', 'aria-label': 'Path' }, h('a', { href: '#/workers' }, 'Workers'), ' / ', h('span', null, name(id))),
    h('div', { class: 'head' }, h('h1', { tabindex: -1, class: 'wrap' }, name(id)), h('div', { class: 'head-tools' }, drain, resume, drop,
      button('Copy as aria command', () => copy(command(now.drained ? 'undrain' : 'drain', id), 'Copied'), { icon: 'copy' }))),
    h('div', { class: 'task-state' }, status, slots, reason),
    h('section', { class: 'panel' }, h('h2', null, 'Tasks that it holds'), none, held, more),
    h('div', { class: 'columns' }, panel('Worker', about), panel('Machine', machine)),
    h('section', { class: 'panel' }, h('h2', null, 'Failures'), noErrors, errors));

  view.tasks = (list) => {
    keyed(held.body, list, (t) => t.id, (t) => taskRow(t));
    held.hidden = list.length === 0;
    none.hidden = list.length > 0;
  };
  view.show = (w, list) => {
    now = w;
    status.show(w.status);
    set(reason, w.status_reason ?? '');
    slots.show(w.total_slots ? (100 * w.used_slots) / w.total_slots : 0, `${f.count(w.used_slots)} of ${f.count(w.total_slots)} slots`);
    const draining = w.drained || w.status === 'draining';
    drain.hidden = draining;
    resume.hidden = !draining;
    view.tasks(list);
    const rest = (w.current_tasks?.length ?? 0) - list.length;
    more.textContent = rest > 0 ? `and ${f.count(rest)} more` : '';
    about.replaceChildren(aboutWorker(w));
    machine.replaceChildren(aboutMachine(w));
    showErrors(errors, noErrors, w.error_history ?? []);
  };
  return view;
}

const tags = (map) => Object.entries(map ?? {}).map(([k, v]) => `${k}=${v}`).join(', ');

function aboutWorker(w) {
  const c = w.capabilities ?? {};
  return facts([
    ['Seen', time(w.last_seen ?? w.last_heartbeat)], ['Connected', time(w.connected_at)], ['Host name', w.hostname], ['Address', w.address && (w.port ? `${w.address}:${w.port}` : w.address)],
    ['Download folder', w.dir], ['Version', w.version], ['Prefetch', w.prefetch === undefined ? '' : f.count(w.prefetch)], ['Tags', tags(c.tags)], ['Folders', (c.folders ?? []).join(', ')], ['Protocols', (c.protocols ?? []).join(', ')],
    ['BitTorrent', c.supports_bt ? 'yes' : 'no'], ['Metalink', c.supports_metalink ? 'yes' : 'no'], ['Instance', `${w.instance}, start ${w.epoch}`],
  ]);
}

function aboutMachine(w) {
  const m = w.health_metrics ?? {};
  const p = w.performance_stats ?? {};
  return facts([
    ['Health', Math.round(w.health ?? 0) + '%'], ['Processor', f.percent(m.cpu_usage)], ['Memory', f.percent(m.memory_usage)], ['Disk used', f.percent(m.disk_usage)],
    ['Disk free', m.disk_free ? f.bytes(m.disk_free) : '–'], ['Up for', f.duration(m.uptime)],
    ['Speed', f.speed(w.download_speed)], ['Downloaded', f.bytes(p.total_bytes_downloaded ?? 0)], ['Mean speed', f.speed(p.avg_download_speed)], ['Highest speed', f.speed(p.peak_download_speed)],
    ['Tasks', `${f.count(p.completed_tasks)} completed, ${f.count(p.failed_tasks)} failed`],
  ]);
}

function showErrors(t, none, list) {
  none.hidden = list.length > 0;
  t.hidden = list.length === 0;
  keyed(t.body, [...list].reverse(), (e) => e.at + e.task, (e) => {
    const message = cell('wrap');
    message.append(icon('failed'), ' ', name(e.message));
    return { el: h('tr', null, h('td', { class: 'num' }, time(e.at)), h('td', null, h('a', { href: '#/task/' + encodeURIComponent(e.task) }, e.task.slice(-8))), message) };
  });
}

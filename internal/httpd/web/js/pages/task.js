// One task: its attempts, files, speed and actions.

import { h, append, set, painter, every, name } from '../dom.js';
import { getTask, explain } from '../api.js';
import { notice, badge, meter, panel, facts, link, time, table, select, field, priorities, priorityName } from '../parts.js';
import { button, copy, nextCommand } from '../dialog.js';
import { verbs, applies, onTask, setPriority } from '../actions.js';
import { follow } from '../live.js';
import { plot } from '../charts.js';
import { icon } from '../icons.js';
import * as f from '../format.js';

const shownSpeeds = 600; // points of the speed line, one a second

export function mount(root, { id, signal, focusHeading }) {
  const problem = notice();
  const body = h('div');
  let task = null;
  const view = build(id, signal);
  append(root, [problem, body]);

  async function load() {
    try {
      task = await getTask(id, signal);
      problem.show(null);
      const first = !view.el.isConnected;
      if (first) body.replaceChildren(view.el);
      view.show(task);
      if (first) focusHeading();
    } catch (e) {
      if (signal.aborted) return;
      if (e.code === 404 || e.code === 400) {
        body.replaceChildren(h('h1', { tabindex: -1 }, 'Task'), h('div', { class: 'empty' }, h('p', { class: 'empty-title' }, e.code === 404 ? 'There is no such task.' : explain(e)),
          h('p', null, name(id.slice(0, 200), { class: 'wrap' })), h('p', null, 'It may be deleted, or its retention is over.'), h('a', { href: '#/tasks' }, 'All tasks')));
      } else problem.show(e);
    }
  }
  const paint = painter(() => view.show(task), signal);
  const refresh = every(5000, signal, load);
  follow({
    types: ['task', 'progress'], id, resync: load,
    handle(kind, e) {
      if (!task || e.id !== task.id) return;
      if (kind === 'task') return refresh();
      if (e.attempt === task.attempt) {
        Object.assign(task, { progress: e.progress, completed_length: e.completed_length, total_length: e.total_length, download_speed: e.download_speed });
        view.speed(e.at, e.download_speed);
      }
      paint();
    },
  }, signal);
  view.changed = load;
}

function build(id, signal) {
  const title = h('bdi');
  const status = badge('pending');
  const bar = meter('Progress');
  bar.classList.add('wide-meter');
  const line = h('p', { class: 'muted num' });
  const actions = h('div', { class: 'head-tools' });
  const why = h('div', { class: 'notice', hidden: true });
  const detail = h('div');
  const history = timeline();
  const files = h('div');
  const raw = h('pre', { class: 'raw', tabindex: 0, 'aria-label': 'The task as JSON' });
  const speed = plot({ title: 'Speed', series: [{ label: 'This task', color: 'blue' }], format: f.bytes, signal });
  speed.hidden = true;
  const priority = select({ 'aria-label': 'Priority' }, priorities.map((p) => [p]));
  const points = [[], []];
  const view = { changed: () => {} };
  let now = null;

  priority.addEventListener('change', async () => {
    await setPriority(now, priority.value);
    view.changed();
  });
  const buttons = Object.keys(verbs).map((verb) => {
    const b = button(verbs[verb].label, async () => {
      if (!(await onTask(verb, now))) return;
      if (verb === 'delete') location.hash = '#/tasks';
      else view.changed();
    }, { icon: verbs[verb].icon, kind: verbs[verb].danger ? 'danger-quiet' : '' });
    b.verb = verb;
    return b;
  });
  append(actions, [buttons, button('Copy as aria command', () => copy(nextCommand(now), 'Copied'), { icon: 'copy' })]);

  view.el = h('div', { class: 'stack' },
    h('nav', { class: 'crumbs', 'aria-label': 'Path' }, h('a', { href: '#/tasks' }, 'Tasks'), ' / ', h('span', null, id.slice(-8))),
    h('div', { class: 'head' }, h('h1', { tabindex: -1, class: 'wrap' }, title), actions),
    h('div', { class: 'task-state' }, status, bar), line, why,
    h('div', { class: 'columns' },
      panel('Attempts', history),
      h('div', null, panel('Files', files), panel('Details', detail, field('Priority', priority)))),
    speed,
    h('details', { class: 'panel' }, h('summary', null, 'JSON'), button('Copy', () => copy(JSON.stringify(now, null, 2), 'Copied'), { icon: 'copy' }), raw));

  view.speed = (at, value) => {
    const t = Math.floor(Date.parse(at) / 1000);
    if (points[0].at(-1) >= t) return;
    points[0].push(t);
    points[1].push(value);
    if (points[0].length > shownSpeeds) points.forEach((p) => p.shift());
    if (points[0].length < 2) return;
    speed.hidden = false;
    speed.show(points[0], [points[1]]);
  };
  view.show = (t) => {
    now = t;
    const label = f.fileName(t);
    if (title.textContent !== label) title.replaceChildren(name(label.slice(0, 2000)));
    status.show(t.status);
    bar.show(t.status === 'completed' ? 100 : t.progress);
    set(line, progressLine(t));
    showWhy(why, t);
    for (const b of buttons) b.hidden = !applies(b.verb, t);
    if (document.activeElement !== priority) priority.value = priorityName(t.priority);
    const text = JSON.stringify(t, null, 2);
    if (text === raw.dataset.text) return;
    raw.dataset.text = text;
    set(raw, text);
    history.show(t);
    showFiles(files, t);
    detail.replaceChildren(details(t));
  };
  return view;
}

function progressLine(t) {
  const parts = [t.total_length ? `${f.bytes(t.completed_length)} of ${f.bytes(t.total_length)}` : t.completed_length ? f.bytes(t.completed_length) : ''];
  if (t.status === 'downloading') {
    parts.push(f.speed(t.download_speed));
    const rest = f.eta(t);
    if (Number.isFinite(rest)) parts.push(f.duration(Math.ceil(rest)) + ' left');
  }
  if (t.finished_at && t.started_at) parts.push('took ' + f.duration((Date.parse(t.finished_at) - Date.parse(t.started_at)) / 1000));
  return parts.filter(Boolean).join(' · ');
}

function showWhy(why, t) {
  const error = t.error && t.status !== 'completed';
  const text = t.status === 'failed' && t.error ? t.error.message : t.status === 'pending' && t.reason ? 'Waits: it ' + t.reason + '.' : error ? 'Last failure: ' + t.error.message : '';
  why.hidden = !text;
  why.className = 'notice' + (t.status === 'failed' ? ' bad' : '');
  why.replaceChildren(icon(t.status === 'failed' ? 'error' : 'pending'), name(text, { class: 'wrap' }));
}

// The symbol and the colour of each outcome; the others are failures.
const outcomes = { completed: 'completed', lost: 'offline', timeout: 'pending', rejected: 'paused', canceled: 'canceled', paused: 'paused', superseded: 'retry' };
const harmless = ['completed', 'canceled', 'paused'];

// timeline lists the attempts, the newest first.
function timeline() {
  const el = h('ol', { class: 'timeline' });
  const item = (symbol, cls, title, when, ...more) => h('li', { class: cls }, icon(symbol), h('div', null, h('strong', null, title), ' ', time(when), more));
  el.show = (t) => {
    const past = [...(t.history ?? [])].sort((a, b) => b.attempt - a.attempt);
    const items = past.filter((a) => a.ended_at || a.outcome).map((a) => item(outcomes[a.outcome] ?? 'failed', 's-' + (harmless.includes(a.outcome) ? a.outcome : a.outcome === 'superseded' ? 'pending' : 'failed'),
      `Attempt ${a.attempt}: ${a.outcome || 'ended'}`, a.ended_at,
      h('p', { class: 'muted' }, 'on ', a.worker_id ? link('worker', a.worker_id) : 'no worker', a.assigned_at && a.ended_at ? ', ' + f.duration((Date.parse(a.ended_at) - Date.parse(a.assigned_at)) / 1000) : ''),
      a.error && h('p', { class: 'wrap' }, name(a.error.message ?? String(a.error)))));
    if (['queued', 'downloading'].includes(t.status)) {
      items.unshift(item(t.status, 's-' + t.status, `Attempt ${t.attempt}: ${t.status}`, t.started_at || t.assigned_at,
        h('p', { class: 'muted' }, 'on ', t.worker_id ? link('worker', t.worker_id) : '–')));
    } else if (t.finished_at && !past.some((a) => a.attempt === t.attempt)) {
      items.unshift(item(t.status, 's-' + t.status, t.attempt ? `Attempt ${t.attempt}: ${t.status}` : t.status, t.finished_at,
        t.last_worker_id && h('p', { class: 'muted' }, 'on ', link('worker', t.last_worker_id))));
    } else if (['pending', 'paused'].includes(t.status)) items.unshift(item(t.status, 's-' + t.status, t.status, t.updated_at));
    items.push(item('plus', '', 'Submitted', t.created_at, h('p', { class: 'muted' }, 'by ', h('a', { href: '#/tasks?client=' + encodeURIComponent(t.client) }, name(t.client)))));
    el.replaceChildren(...items);
  };
  return el;
}

function showFiles(box, t) {
  const list = t.result?.files ?? [];
  if (!list.length) {
    box.replaceChildren(h('p', { class: 'muted' }, t.status === 'completed' ? 'The worker named no file.' : 'The files are listed when the task is completed.'));
    return;
  }
  const rows = table('Files', [{ title: 'Path' }, { title: 'Size', class: 'r' }]);
  append(rows.body, list.slice(0, 200).map((file) => h('tr', null, h('td', { class: 'wrap' }, name(file.path)), h('td', { class: 'r num' }, f.bytes(file.length)))));
  box.replaceChildren(h('p', { class: 'muted' }, 'On the worker ', link('worker', t.result.worker_id || t.last_worker_id || ''), t.folder ? [', folder ', name(t.folder)] : ', in its download folder'), rows,
    list.length > 200 ? h('p', { class: 'muted' }, `and ${f.count(list.length - 200)} more; all are in the JSON`) : '');
}

const pairs = (map) => Object.entries(map ?? {}).map(([k, v]) => `${k}=${Array.isArray(v) ? v.join('; ') : v}`).join(', ');

function details(t) {
  return facts([
    ['Id', t.id], ['URL', t.url && h('span', { class: 'wrap' }, name(t.url))], ['Mirrors', t.mirrors?.length ? f.count(t.mirrors.length) : ''],
    ['Client', h('a', { href: '#/tasks?client=' + encodeURIComponent(t.client) }, name(t.client))],
    ['Worker', t.worker_id && link('worker', t.worker_id)],
    ['Failures', `${t.failures} of ${t.max_attempts || '–'}, losses ${t.losses}`],
    ['Labels', pairs(t.labels)], ['Tags', pairs(t.tags)], ['Options', pairs(t.options)], ['Folder', t.folder], ['Checksum', t.checksum],
    ['Not before', t.not_before && f.full(t.not_before)], ['Timeout', t.timeout ? String(t.timeout) : ''], ['Error code', t.error?.code ? `${t.error.code} (${t.error.class})` : ''],
    ['Created', f.full(t.created_at)], ['Started', f.full(t.started_at)], ['Finished', f.full(t.finished_at)],
    ['aria2 GID', t.aria2_gid], ['Trace', t.traceparent],
  ]);
}

// Overview: what the cluster does now, and why tasks wait.

import { h, set, keyed, every, atMost, name } from '../dom.js';
import { status as askStatus, series as askSeries } from '../api.js';
import { head, panel, notice, readEvery, statuses, meter, table, cell, empty } from '../parts.js';
import { icon } from '../icons.js';
import { plot, load } from '../charts.js';
import { follow } from '../live.js';
import { showAdd } from '../add.js';
import { button } from '../dialog.js';
import { readStatus, readSeries, failingHosts } from '../data.js';
import * as f from '../format.js';

const figure = (label, href) => {
  const value = h('span', { class: 'figure-value num' }, '–');
  const note = h('span', { class: 'muted figure-note' });
  const el = h(href ? 'a' : 'div', { class: 'stat', href }, h('span', { class: 'stat-label' }, label), value, note);
  el.show = (text, more) => {
    set(value, text);
    set(note, more ?? '');
  };
  return el;
};

export function mount(root, { signal }) {
  const problem = notice();
  const speed = figure('Speed');
  const oldest = figure('Oldest waiting', '#/tasks?status=pending&order=created_at');
  const slots = figure('Slots in use', '#/workers');
  const workers = figure('Workers', '#/workers');
  const commit = figure('Commit, p99');
  const use = meter('Slots in use');
  use.classList.add('slot-meter');
  slots.append(use);

  const counts = new Map(statuses.map((s) => {
    const value = h('span', { class: 'count num' }, '–');
    return [s, { value, el: h('a', { class: 'count-card s-' + s, href: '#/tasks?status=' + s }, icon(s), value, h('span', null, s)) }];
  }));
  const waiting = waitingPanel();
  const hosts = hostsPanel();
  const plots = buildPlots(signal);
  const welcome = h('div', { hidden: true }, empty('Nothing has been downloaded yet.', 'Paste URLs, or drop a .torrent or .metalink file on this page.',
    button('Add downloads', () => showAdd(), { kind: 'primary', icon: 'plus' })));
  root.append(head('Overview'), problem,
    h('div', { class: 'counts' }, [...counts.values()].map((c) => c.el)),
    h('div', { class: 'stats' }, speed, oldest, slots, workers, commit),
    welcome, h('div', { class: 'columns' }, waiting, hosts), plots.el);

  const refresh = readEvery(2000, signal, problem, async () => {
    const s = readStatus(await askStatus(signal));
    for (const [key, c] of counts) {
      set(c.value, f.short(s.counts[key] ?? 0));
      c.el.title = f.count(s.counts[key]) + ' ' + key;
    }
    speed.show(f.speed(s.speed), s.speed > 0 ? f.counted(s.counts.downloading ?? 0, 'download') : 'nothing is downloaded now');
    oldest.show(s.oldest === null ? '–' : f.duration(s.oldest), s.oldest === null ? 'no task waits' : s.oldestPriority ? 'priority ' + s.oldestPriority : '');
    slots.show(`${f.count(s.usedSlots)} of ${f.count(s.totalSlots)}`);
    use.show(s.load);
    workers.show(f.count(s.activeWorkers), s.totalWorkers > s.activeWorkers ? `of ${f.count(s.totalWorkers)}; the others are offline` : s.totalWorkers ? 'all are connected' : 'none has connected');
    waiting.show(s.waiting);
    welcome.hidden = s.total > 0;
    welcome.previousElementSibling.classList.toggle('quiet', s.total === 0);
  });
  every(10000, signal, async () => {
    try {
      const s = readSeries(await askSeries(signal));
      plots.show(s);
      const last = s.commit.findLast((v) => v !== null);
      if (last !== undefined) commit.show(f.duration(last), 'in the newest interval');
    } catch { /* the figures above say that the dispatcher cannot be reached */ }
  });
  every(15000, signal, async () => {
    try {
      hosts.show(await failingHosts(signal));
    } catch { /* as above */ }
  });
  const soon = atMost(1000, signal, refresh);
  follow({ types: ['worker'], handle: soon, resync: soon }, signal);
}

function waitingPanel() {
  const list = h('ul', { class: 'reasons' });
  const none = h('p', { class: 'muted' }, 'No task waits.');
  const el = panel('Why tasks wait', none, list);
  el.show = (waiting) => {
    none.hidden = waiting.length > 0;
    const most = Math.max(...waiting.map((w) => w.count), 1);
    keyed(list, waiting, (w) => w.key, (w) => {
      const count = h('span', { class: 'num' });
      const bar = h('progress', { max: 1, 'aria-label': 'Share of ' + w.text });
      return {
        el: h('li', null, h('div', null, name(w.text, { class: 'grow wrap' }), count), bar),
        update(now) {
          set(count, f.count(now.count));
          bar.value = now.count / most;
        },
      };
    });
  };
  return el;
}

function hostsPanel() {
  const t = table('Failing hosts', [{ title: 'Host' }, { title: 'Failed tasks', class: 'r' }, { title: 'Last error' }]);
  const none = h('p', { class: 'muted' }, 'No task has failed in the last hour.');
  const note = h('p', { class: 'muted' }, 'Among the newest failed tasks of the last hour.');
  const el = panel('Failing hosts', none, t, note);
  el.show = ({ hosts, complete }) => {
    const failing = hosts.slice(0, 8);
    note.hidden = complete;
    none.hidden = failing.length > 0;
    t.hidden = failing.length === 0;
    keyed(t.body, failing, (x) => x.host, (x) => {
      const count = cell('r num');
      const error = cell('muted clip fill');
      return {
        el: h('tr', null, h('td', { class: 'clip' }, h('a', { href: '#/tasks?status=failed&since=1h&text=' + encodeURIComponent(x.host) }, name(x.host))), count, error),
        update(now) {
          count.show(f.count(now.failures));
          error.show(now.error);
        },
      };
    });
  };
  return el;
}

function buildPlots(signal) {
  load();
  const speed = plot({ title: 'Speed', series: [{ label: 'All workers', color: 'blue' }], format: f.bytes, least: 1e6, signal });
  const tasks = plot({ title: 'Tasks', series: [{ label: 'Downloading', color: 'blue' }, { label: 'Waiting', color: 'amber' }], format: f.short, least: 4, signal });
  const ended = plot({ title: 'Ended, a minute', series: [{ label: 'Completed', color: 'green' }, { label: 'Failed', color: 'red' }], format: (v) => f.short(Number(v.toFixed(1))), least: 4, signal });
  const commit = plot({ title: 'Commit, p99', series: [{ label: 'Commit', color: 'violet' }], format: f.duration, least: 0.01, signal });
  const el = h('section', { 'aria-label': 'The last hour' }, h('h2', { class: 'section' }, 'The last hour'), h('div', { class: 'plots' }, speed, tasks, ended, commit));
  return {
    el,
    show(s) {
      speed.show(s.times, [s.speed]);
      tasks.show(s.times, [s.downloading, s.waiting]);
      ended.show(s.times, [s.completed, s.failed]);
      commit.show(s.times, [s.commit]);
    },
  };
}

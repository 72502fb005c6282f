// Workers: one page of the list, kept up to date.

import { h, set, setAttr, keyed, inSteps, painter, atMost } from '../dom.js';
import { listWorkers } from '../api.js';
import { head, notice, readEvery, pager, table, cell, badge, meter, link, empty } from '../parts.js';
import { button } from '../dialog.js';
import { icon } from '../icons.js';
import { onWorker } from '../actions.js';
import { follow } from '../live.js';
import * as f from '../format.js';

const states = ['online', 'busy', 'draining', 'error', 'offline'];
const rowsPerPage = 100;

export function mount(root, { query, signal }) {
  let cursors = [''];
  let next = '';
  let chosen = [];
  let workers = [];
  const problem = notice();
  const boxes = states.map((s) => {
    const box = h('input', { type: 'checkbox', class: 'sr' });
    box.dataset.state = s;
    return h('label', { class: 'chip s-' + s }, box, icon(s), h('span', null, s));
  });
  const goTo = h('input', { type: 'search', placeholder: 'Open a worker by its name', 'aria-label': 'Name of a worker', 'data-search': '', maxlength: 64, autocomplete: 'off' });
  const bar = h('form', {
    class: 'filters', role: 'search',
    on: {
      submit(e) {
        e.preventDefault();
        if (goTo.value.trim()) location.hash = '#/worker/' + encodeURIComponent(goTo.value.trim());
      },
      change(e) {
        if (!e.target.dataset.state) return;
        chosen = boxes.filter((b) => b.firstChild.checked).map((b) => b.firstChild.dataset.state);
        location.hash = '#/workers' + (chosen.length ? '?status=' + chosen.join(',') : '');
      },
    },
  }, h('div', { class: 'filter-row' }, h('label', { class: 'searchbox' }, icon('search'), goTo)), h('fieldset', { class: 'chips' }, h('legend', { class: 'sr' }, 'Status'), boxes));
  const t = table('Workers', [{ title: 'Name' }, { title: 'Status' }, { title: 'Slots', class: 'c-progress' }, { title: 'Speed', class: 'r c-speed' },
    { title: 'Disk free', class: 'r c-size' }, { title: 'Health', class: 'r c-eta' }, { title: 'Seen', class: 'r c-age' }, { title: 'Version', class: 'c-worker' }, { title: ' ', content: h('span', { class: 'sr' }, 'Actions') }]);
  const none = h('div', { hidden: true });
  const pages = pager((where) => {
    if (where === 'first') cursors = [''];
    else if (next) cursors.push(next);
    refresh();
  });
  root.append(head('Workers'), problem, bar, t, none, pages);

  const draw = () => {
    keyed(t.body, inSteps(t.body, workers, draw, signal), (w) => w.id, (w) => row(w, () => refresh()));
    t.hidden = workers.length === 0;
    none.hidden = workers.length > 0;
    pages.hidden = workers.length === 0;
    pages.show({ page: cursors.length, more: Boolean(next), rows: workers.length });
    if (!workers.length) none.replaceChildren(chosen.length ? empty('No worker has this status.', chosen.join(' or ')) : empty('No worker has connected yet.', 'Start one on a machine with disk: worker -nats URL -dir FOLDER'));
  };
  const refresh = readEvery(3000, signal, problem, async () => {
    const page = await listWorkers({ status: chosen.length ? chosen : undefined, limit: rowsPerPage, cursor: cursors.at(-1) || undefined }, signal);
    workers = page.workers;
    next = page.next;
    draw();
  });
  const paint = painter(draw, signal);
  const soon = atMost(1000, signal, refresh);
  follow({
    types: ['worker'], resync: soon,
    handle(kind, e) {
      const w = workers.find((x) => x.id === e.id);
      if (w) w.status = e.status;
      else soon(); // it may belong to the page
      paint();
    },
  }, signal);
  const change = (q) => {
    chosen = (q.get('status') ?? '').split(',').filter((s) => states.includes(s));
    boxes.forEach((b) => { b.firstChild.checked = chosen.includes(b.firstChild.dataset.state); });
    cursors = [''];
    refresh();
  };
  change(query);
  return { change };
}

function row(worker, changed) {
  const status = badge(worker.status);
  const slots = meter('Slots in use');
  const sub = h('span', { class: 'sub muted clip' });
  const [speed, disk, health, seen] = ['r num c-speed', 'r num c-size', 'r num c-eta', 'r num c-age'].map(cell);
  const version = cell('c-worker muted clip');
  let now = worker;
  const act = async (verb) => { if (await onWorker(verb, now)) changed(); };
  const drain = button('Drain ' + worker.id, () => act(now.drained || now.status === 'draining' ? 'resume' : 'drain'), { kind: 'icon', icon: 'draining' });
  const drop = button('Remove ' + worker.id, () => act('remove'), { kind: 'icon', icon: 'trash' });
  return {
    el: h('tr', null, h('td', { class: 'c-name' }, link('worker', worker.id, worker.id, 'rowlink clip'), sub), h('td', null, status), h('td', { class: 'c-progress' }, slots),
      speed, disk, health, seen, version, h('td', { class: 'row-tools' }, drain, drop)),
    update(w) {
      now = w;
      status.show(w.status);
      set(sub, w.status_reason || [w.hostname, w.address].filter(Boolean).join(' · '));
      slots.show(w.total_slots ? (100 * w.used_slots) / w.total_slots : 0, `${f.count(w.used_slots)} of ${f.count(w.total_slots)}`);
      speed.show(f.speed(w.download_speed));
      disk.show(w.health_metrics?.disk_free ? f.bytes(w.health_metrics.disk_free) : '–');
      health.show(Math.round(w.health ?? 0) + '%');
      const last = w.last_seen ?? w.last_heartbeat;
      seen.show(f.ago(last));
      setAttr(seen, 'title', f.full(last));
      version.show(w.version || '–');
      const resumes = w.drained || w.status === 'draining';
      if (drain.dataset.verb !== String(resumes)) {
        drain.dataset.verb = String(resumes);
        drain.replaceChildren(icon(resumes ? 'play' : 'draining'));
        const label = (resumes ? 'Resume ' : 'Drain ') + w.id;
        drain.setAttribute('aria-label', label);
        drain.title = label;
      }
      drop.title = 'Remove ' + w.id;
    },
  };
}


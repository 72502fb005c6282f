// Tasks: a filter in the address, pages by cursor, rows that follow the events.

import { h, append, keyed, inSteps, painter, every } from '../dom.js';
import { listTasks } from '../api.js';
import { head, notice, pager, empty, statuses } from '../parts.js';
import { button, copy, command } from '../dialog.js';
import { follow } from '../live.js';
import { showAdd } from '../add.js';
import { start } from '../bulk.js';
import { verbs, applies, ask, onTasks } from '../actions.js';
import { filterBar, readFilter, describe, commandWords, matches, isEmpty } from '../filter.js';
import { taskRow, taskTable } from '../rows.js';
import { exportTasks } from '../export.js';
import * as f from '../format.js';

const rowsPerPage = 100;
const examined = 5000; // tasks of a page of the API without a match
const mostPages = 40; // of the API that are read to fill one of the list
const share = 20; // the list is read again after that many times what reading took,
const longest = 10000; // or so many ms if that is less

export function mount(root, { query, signal }) {
  return new TasksPage(root, query, signal);
}

class TasksPage {
  constructor(root, query, signal) {
    this.signal = signal;
    this.selected = new Set();
    this.choices = 0; // changes of the selection by the person
    this.cursors = ['']; // of the pages up to the shown one
    this.tasks = new Map();
    this.problem = notice();
    this.bar = filterBar(query, (next) => { location.hash = '#/tasks' + (next.size ? '?' + next : ''); });
    this.table = taskTable(() => this.selectAll());
    this.pager = pager((where) => this.move(where));
    this.tools = h('div', { class: 'selection', role: 'toolbar', 'aria-label': 'Actions' });
    this.none = h('div', { hidden: true });
    append(root, [
      head('Tasks',
        button('Export', () => exportTasks(this.filter), { icon: 'download' }),
        button('Copy as aria command', () => copy(command('ls', ...commandWords(this.filter)), 'Copied'), { icon: 'copy' })),
      this.bar, this.problem, this.tools, this.table, this.none, this.pager,
    ]);
    this.paint = painter(() => this.draw(), signal);
    this.follower = null;
    this.change(query);
    // change has begun the first one.
    document.addEventListener('bulk-end', () => { if (this.request) this.reloadSoon(); else this.load(); }, { signal });
    every(5000, signal, () => this.reloadSoon(0), true);
  }

  // change shows another filter without building the page again.
  change(query) {
    this.filter = readFilter(query);
    this.bar.show(query);
    this.selected.clear();
    this.cursors = [''];
    this.load(true);
    if (this.follower && this.followed === this.filter.client) return;
    this.follower?.abort();
    this.follower = new AbortController();
    this.followed = this.filter.client;
    this.signal.addEventListener('abort', () => this.follower.abort());
    follow({
      types: ['task', 'progress'], client: this.filter.client,
      handle: (kind, e) => this.take(kind, e), resync: () => this.reloadSoon(),
    }, this.follower.signal);
  }

  // load reads the page that is shown. A page of the API has few rows or none where few
  // tasks match: then several are read. With fresh what is shown belongs to another filter,
  // so that every row is shown as soon as it is known.
  async load(fresh = false) {
    this.request?.abort();
    const mine = (this.request = new AbortController());
    const signal = AbortSignal.any([mine.signal, this.signal]);
    const began = performance.now();
    try {
      const tasks = [];
      let next = this.cursors.at(-1);
      for (let n = 1, more = true; more; n++) {
        const page = await listTasks({ ...this.filter, limit: rowsPerPage - tasks.length, cursor: next || undefined }, signal);
        this.problem.show(null);
        tasks.push(...page.tasks);
        next = page.next;
        more = next && n < mostPages && tasks.length < rowsPerPage;
        this.fresh = fresh && n === 1;
        if (fresh || !more) this.show(tasks, next, tasks.length || !next ? null : `No match among the ${f.count(n * examined)} tasks examined${more ? '…' : '; the next page examines more.'}`);
      }
    } catch (e) {
      if (!signal.aborted) this.problem.show(e);
    }
    if (this.request !== mine) return;
    this.request = null;
    this.ready = performance.now() + Math.min(share * (performance.now() - began), longest);
  }

  show(tasks, next, note) {
    this.next = next;
    this.note = note;
    this.tasks = new Map(tasks.map((t) => [t.id, t]));
    this.loaded = true;
    this.draw();
  }

  // take applies an event to the rows shown. A task that is not shown may belong here,
  // or a shown one no more; then the page is read again, once a second at most.
  take(kind, event) {
    const task = this.tasks.get(event.id);
    if (task) {
      const { at, error, result, ...state } = event;
      if (kind === 'progress') {
        if (event.attempt === task.attempt) Object.assign(task, state);
      } else Object.assign(task, state, { updated_at: at, error: error ?? task.error, result: result ?? task.result });
      this.paint();
      if (kind === 'task' && !matches(this.filter, task)) this.reloadSoon();
    } else if (kind === 'task' && this.cursors.length === 1 && !this.filter.until && matches(this.filter, event)) this.reloadSoon();
  }

  // reloadSoon reads the list again after a while in ms, later if reading it takes long.
  reloadSoon(after = 1000) {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      if (this.signal.aborted || document.hidden) return;
      if (this.request) this.reloadSoon();
      else this.load();
    }, Math.max(after, (this.ready ?? 0) - performance.now()));
  }

  move(where) {
    if (where === 'first') this.cursors = [''];
    else if (this.next) this.cursors.push(this.next);
    this.selected.clear();
    this.load(true);
    this.table.scrollIntoView({ block: 'nearest' });
  }

  selectAll() {
    this.choices++;
    const all = this.selected.size === this.tasks.size;
    this.selected = new Set(all ? [] : this.tasks.keys());
    this.draw();
  }

  select(id, on) {
    this.choices++;
    if (on) this.selected.add(id);
    else this.selected.delete(id);
    this.draw();
  }

  draw() {
    for (const id of this.selected) if (!this.tasks.has(id)) this.selected.delete(id);
    const rows = [...this.tasks.values()];
    const now = inSteps(this.table.body, rows, () => this.draw(), this.signal, this.fresh);
    this.fresh = false;
    keyed(this.table.body, now, (t) => t.id, (t) => taskRow(t, (on) => this.select(t.id, on)));
    for (const row of this.table.body.keyedRows.values()) row.mark(this.selected.has(row.item.id));
    this.table.all.checked = rows.length > 0 && this.selected.size === rows.length;
    this.table.all.indeterminate = this.selected.size > 0 && this.selected.size < rows.length;
    this.table.hidden = rows.length === 0;
    const page = this.cursors.length;
    this.pager.hidden = rows.length === 0 && page === 1 && !this.next;
    this.pager.show({ page, more: Boolean(this.next), rows: rows.length, note: this.note });
    this.drawEmpty(rows.length === 0 && this.loaded && !this.next);
    this.drawTools();
  }

  drawEmpty(shown) {
    if (this.none.hidden === !shown) return;
    this.none.hidden = !shown;
    this.none.replaceChildren(isEmpty(this.filter)
      ? empty('There are no tasks yet.', 'Paste URLs, or drop a .torrent or .metalink file on this page.', button('Add downloads', () => showAdd(), { kind: 'primary', icon: 'plus' }))
      : empty('No task matches this filter.', describe(this.filter), button('Clear the filter', () => { location.hash = '#/tasks'; })));
  }

  // drawTools shows the actions for the selection, or else those for the whole filter.
  drawTools() {
    const chosen = [...this.selected].map((id) => this.tasks.get(id));
    const state = chosen.length + ' ' + chosen.map((t) => t.status).join() + (this.tasks.size > 0) + JSON.stringify(this.filter);
    if (state === this.toolsState) return;
    this.toolsState = state;
    const focused = this.tools.contains(document.activeElement) ? document.activeElement.textContent : '';
    this.tools.replaceChildren();
    if (chosen.length > 0) {
      append(this.tools, [h('strong', { class: 'num' }, `${f.count(chosen.length)} selected`),
        Object.keys(verbs).map((verb) => {
          const ids = chosen.filter((t) => applies(verb, t)).map((t) => t.id);
          return button(verbs[verb].label, () => this.onSelection(verb, ids), {
            icon: verbs[verb].icon, kind: verbs[verb].danger ? 'danger-quiet' : '', disabled: ids.length === 0,
            title: ids.length ? `${verbs[verb].label} ${f.count(ids.length)} of the selected tasks` : 'No selected task has a status for this',
          });
        }),
        button('Copy ids', () => copy(chosen.map((t) => t.id).join('\n'), 'Copied'), { icon: 'copy' }),
        button('Clear the selection', () => { this.selected.clear(); this.draw(); })]);
    } else if (this.tasks.size > 0) {
      const can = (verb) => !this.filter.status?.length || this.filter.status.some((s) => verbs[verb].on.includes(s));
      append(this.tools, [h('details', { class: 'menu' },
        h('summary', null, isEmpty(this.filter) ? 'All tasks…' : 'All that match…'),
        h('div', { class: 'menu-box' }, Object.keys(verbs).filter(can).map((verb) =>
          button(verbs[verb].label + ' all', () => this.onFilter(verb), { icon: verbs[verb].icon, kind: verbs[verb].danger ? 'danger-quiet' : '' })))),
      h('span', { class: 'muted' }, 'or select rows'), h('span', { class: 'muted keyhint' }, ' with ', h('kbd', null, 'j'), ' ', h('kbd', null, 'k'), ' ', h('kbd', null, 'x'))]);
    }
    if (focused) [...this.tools.querySelectorAll('button, summary')].find((b) => b.textContent === focused)?.focus();
  }

  async onSelection(verb, ids) {
    const { choices } = this;
    if (!(await onTasks(verb, ids))) return;
    if (choices === this.choices) this.selected.clear(); // else another selection was made meanwhile
    this.load();
  }

  async onFilter(verb) {
    this.tools.querySelector('details')?.removeAttribute('open');
    const filter = { ...this.filter };
    delete filter.order;
    const on = verbs[verb].on.filter((s) => !filter.status?.length || filter.status.includes(s));
    const what = describe(filter) || 'all tasks';
    const form = await ask(verb, 'every matching task', what);
    if (!form) return;
    start(verb, { ...filter, status: on.length === statuses.length ? undefined : on }, what);
  }
}


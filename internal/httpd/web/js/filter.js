// The filter of the tasks: in the address, in the bar, in a query, in words, and as the
// words of the command aria.

import { h } from './dom.js';
import { field, select, statuses, priorities } from './parts.js';
import { icon } from './icons.js';
import { session } from './api.js';
import { button } from './dialog.js';

// durations that "since" accepts in the address: a number with s, m, h or d.
const units = { s: 1, m: 60, h: 3600, d: 86400 };

// typing is how long after a letter the list is asked for, in ms.
const typing = 60;

function instant(text) {
  const m = /^(\d+)([smhd])$/.exec(text);
  const at = m ? new Date(Date.now() - m[1] * units[m[2]] * 1000) : new Date(text);
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString();
}

// readFilter makes the query of a list from the address.
export function readFilter(q) {
  const filter = {};
  const status = (q.get('status') ?? '').split(',').filter((s) => statuses.includes(s));
  if (status.length) filter.status = status;
  for (const [key, to] of [['client', 'client'], ['worker', 'worker_id'], ['priority', 'priority'], ['text', 'text'], ['order', 'order']]) {
    if (q.get(key)) filter[to] = q.get(key);
  }
  for (const key of ['since', 'until']) {
    const at = q.get(key) && instant(q.get(key));
    if (at) filter[key] = at;
  }
  const labels = q.getAll('label').map((l) => l.split('=')).filter(([k]) => k);
  if (labels.length) filter.labels = Object.fromEntries(labels.map(([k, ...v]) => [k, v.join('=')]));
  return filter;
}

export const isEmpty = (filter) => Object.keys(filter).every((k) => k === 'order');

// describe says the filter in words.
export function describe(filter) {
  return [
    filter.status?.join(' or '), filter.text && `"${filter.text}" in the URL`, filter.client && 'client ' + filter.client,
    filter.worker_id && 'worker ' + filter.worker_id, filter.priority && 'priority ' + filter.priority,
    ...Object.entries(filter.labels ?? {}).map(([k, v]) => `label ${k}=${v}`),
    filter.since && 'since ' + filter.since.slice(0, 16).replace('T', ' '), filter.until && 'until ' + filter.until.slice(0, 16).replace('T', ' '),
  ].filter(Boolean).join(', ');
}

// commandWords are the options of aria for the filter.
export function commandWords(filter) {
  const words = [];
  if (filter.status) words.push('--status', filter.status.join(','));
  if (filter.client) words.push('--client', filter.client);
  else if (!session.own) words.push('--all-clients');
  for (const [key, option] of [['worker_id', '--worker'], ['text', '--text'], ['priority', '--priority'], ['since', '--since'], ['until', '--until']]) {
    if (filter[key]) words.push(option, filter[key]);
  }
  for (const [k, v] of Object.entries(filter.labels ?? {})) words.push('--label', `${k}=${v}`);
  return words;
}

// matches reports whether a task can still be in the list, by what an event tells.
export function matches(filter, task) {
  return (!filter.status || filter.status.includes(task.status)) && (!filter.worker_id || filter.worker_id === task.worker_id);
}

// filterBar is the form; changed is called with the next query of the address.
export function filterBar(query, changed) {
  const chips = statuses.map((s) => {
    const box = h('input', { type: 'checkbox', name: 'status', value: s, class: 'sr' });
    box.value = s;
    return h('label', { class: 'chip s-' + s }, box, icon(s), h('span', null, s));
  });
  const text = h('input', { type: 'search', name: 'text', placeholder: 'Search URLs', 'aria-label': 'Part of the URL', 'data-search': '', autocomplete: 'off', spellcheck: 'false' });
  const since = select({ name: 'since', 'aria-label': 'Created' }, [['', 'Any time'], ['1h', 'Last hour'], ['24h', 'Last day'], ['7d', 'Last week'], ['30d', 'Last 30 days']]);
  const order = select({ name: 'order', 'aria-label': 'Order' }, [['', 'Newest first'], ['created_at', 'Oldest first']]);
  const priority = select({ name: 'priority' }, [['', 'Any'], ...priorities.map((p) => [p])]);
  const extra = {
    client: h('input', { name: 'client', autocomplete: 'off', maxlength: 64 }),
    worker: h('input', { name: 'worker', autocomplete: 'off', maxlength: 64 }),
    label: h('input', { name: 'label', placeholder: 'name=value', autocomplete: 'off' }),
    priority,
    until: h('input', { name: 'until', type: 'datetime-local' }),
  };
  const more = h('details', { class: 'more' }, h('summary', null, 'More filters'), h('div', { class: 'grid3' },
    session.own ? null : field('Client', extra.client), field('Worker', extra.worker), field('Label', extra.label),
    field('Priority', priority), field('Created before', extra.until)));
  const clear = button('Clear', () => changed(new URLSearchParams()));
  const form = h('form', { class: 'filters', role: 'search', 'aria-label': 'Filter' },
    h('div', { class: 'filter-row' }, h('label', { class: 'searchbox' }, icon('search'), text), since, order, clear),
    h('fieldset', { class: 'chips' }, h('legend', { class: 'sr' }, 'Status'), chips), more);

  let timer = 0;
  const send = () => {
    clearTimeout(timer);
    const next = new URLSearchParams();
    const values = new FormData(form);
    const chosen = values.getAll('status');
    if (chosen.length) next.set('status', chosen.join(','));
    for (const key of ['text', 'since', 'order', 'client', 'worker', 'priority', 'until']) {
      const v = String(values.get(key) ?? '').trim();
      if (v) next.set(key, v);
    }
    for (const l of String(values.get('label') ?? '').split(',').map((x) => x.trim()).filter(Boolean)) next.append('label', l);
    changed(next);
  };
  form.addEventListener('input', (e) => {
    clearTimeout(timer);
    timer = setTimeout(send, e.target.matches('[type=checkbox], select') ? 0 : typing);
  });
  form.addEventListener('submit', (e) => {
    e.preventDefault();
    send();
  });

  form.show = (q) => {
    const chosen = (q.get('status') ?? '').split(',');
    for (const chip of chips) chip.firstChild.checked = chosen.includes(chip.firstChild.value);
    const values = { text, since, order, ...extra };
    for (const [key, input] of Object.entries(values)) {
      const v = key === 'label' ? q.getAll('label').join(', ') : q.get(key) ?? '';
      if (document.activeElement === input || input.value === v) continue;
      if (key === 'since' && v && ![...since.options].some((o) => o.value === v)) since.append(new Option('Since ' + v, v));
      input.value = v;
    }
    if (Object.keys(extra).some((k) => q.get(k))) more.open = true;
    clear.hidden = q.size === 0;
  };
  form.show(query);
  return form;
}

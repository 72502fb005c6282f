// Parts that several pages share.

import { h, every, name, set, visible } from './dom.js';
import { icon } from './icons.js';
import { explain } from './api.js';
import { button } from './dialog.js';
import * as f from './format.js';

// badge shows a status by icon and word; colour only helps.
export function badge(status) {
  const el = h('span', null);
  el.show = (next) => {
    if (el.dataset.status === next) return;
    el.dataset.status = next;
    el.className = 'badge s-' + String(next).replace(/[^a-z]/g, '');
    el.replaceChildren(icon(next), document.createTextNode(visible(next)));
  };
  el.show(status || 'pending');
  return el;
}

// meter is a bar with its value beside it.
export function meter(label) {
  const bar = h('progress', { max: 100, 'aria-label': label });
  const text = h('span', { class: 'num' });
  const el = h('span', { class: 'meter' }, bar, text);
  el.show = (value, caption) => {
    bar.value = Number.isFinite(value) ? value : 0;
    set(text, caption ?? f.percent(value));
  };
  return el;
}

export const head = (title, ...tools) =>
  h('div', { class: 'head' }, h('h1', { tabindex: -1 }, title), tools.length > 0 && h('div', { class: 'head-tools' }, tools));

export const panel = (title, ...content) => h('section', { class: 'panel' }, h('h2', null, title), content);

// empty says that a list has no rows, and what would fill it.
export const empty = (title, hint, action) =>
  h('div', { class: 'empty' }, h('p', { class: 'empty-title' }, title), hint && h('p', null, hint), action);

// notice is a place for the error of the last request of a page.
export function notice() {
  const el = h('div', { class: 'notice bad', role: 'alert', hidden: true });
  el.show = (e) => {
    const text = e ? explain(e) : '';
    if (el.hidden === !text && el.textContent === text) return;
    el.hidden = !text;
    el.replaceChildren();
    if (text) el.append(icon('error'), h('span', { class: 'wrap' }, text));
  };
  return el;
}

// readEvery calls read now and then each period in ms, as every does. problem has the error
// of the last call.
export const readEvery = (period, signal, problem, read) => every(period, signal, async () => {
  try {
    await read();
    problem.show(null);
  } catch (e) {
    if (!signal.aborted) problem.show(e);
  }
});

// table makes a table: columns are {title, class}. body is its tbody.
export function table(caption, columns) {
  const body = h('tbody');
  const el = h('div', { class: 'table-box', tabindex: 0, role: 'region', 'aria-label': caption },
    h('table', null, h('thead', null, h('tr', null, columns.map((c) =>
      h(c.title ? 'th' : 'td', { scope: c.title ? 'col' : null, class: c.class }, c.content ?? c.title)))), body));
  el.body = body;
  return el;
}

// cell returns a td and keeps its text up to date.
export function cell(cls) {
  const el = h('td', { class: cls });
  el.show = (text) => set(el, text);
  return el;
}

// facts is a list of names and values; values are text or nodes.
export function facts(list) {
  return h('dl', { class: 'facts' }, list.filter(([, v]) => v !== '' && v !== null && v !== undefined).map(([k, v]) =>
    h('div', null, h('dt', null, k), h('dd', null, v instanceof Node ? v : name(v)))));
}

export const link = (page, id, text, cls) => h('a', { href: `#/${page}/${encodeURIComponent(id)}`, class: cls }, name(text ?? id));

// pager has the buttons of a list with cursors: pages are known one after the other.
export function pager(move) {
  const first = button('First page', () => move('first'));
  const next = button('Next page', () => move('next'));
  const text = h('span', { class: 'muted' });
  const el = h('nav', { class: 'pager', 'aria-label': 'Pages of the list' }, first, next, text);
  el.show = ({ page, more, rows, note }) => {
    first.disabled = page === 1;
    next.disabled = !more;
    set(text, note ?? `Page ${f.count(page)}, ${f.counted(rows, 'row')}`);
  };
  return el;
}

// time shows how long ago something was; the exact time is its title.
export const time = (t, show = f.ago) => h('time', { datetime: t || null, title: f.full(t) }, show(t));

export const field = (label, control, hint) =>
  h('label', { class: 'field' }, h('span', null, label), control, hint && h('small', null, hint));

export const select = (props, options) => h('select', props, options.map(([v, t]) => h('option', { value: v }, t ?? v)));

export const priorities = ['low', 'normal', 'high', 'urgent'];
export const statuses = ['pending', 'queued', 'downloading', 'paused', 'completed', 'failed', 'canceled'];
export const priorityName = (p) => (typeof p === 'number' ? priorities[p - 1] : p) || 'normal';

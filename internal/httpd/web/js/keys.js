// The keyboard: single letters, where no field has the focus.

import { h } from './dom.js';
import { open } from './dialog.js';

const pages = { o: '/', t: '/tasks', w: '/workers', h: '/hosts', c: '/clients', d: '/dlq', e: '/events', s: '/system' };

const list = [
  ['/', 'Search or filter this page'],
  ['j', 'Next row'], ['k', 'Previous row'], ['x', 'Select or clear the row'], ['Enter', 'Open the row'],
  ['a', 'Add downloads'],
  ['g then o t w h c d e s', 'Go to Overview, Tasks, Workers, Hosts, Clients, Dead letters, Events, System'],
  ['Esc', 'Close a dialog, leave a field'], ['?', 'This list'],
];

export function showKeys() {
  open('Keyboard', () => h('dl', { class: 'dialog-body keys' }, list.map(([key, text]) =>
    h('div', null, h('dt', null, key.split(' ').map((k) => (k === 'then' ? ' then ' : h('kbd', null, k)))), h('dd', null, text)))));
}

// move gives the focus to the link of the next row, step rows away.
function move(step) {
  const links = [...document.querySelectorAll('#main .rowlink')];
  const row = document.activeElement?.closest('tr');
  const now = links.findIndex((l) => l.closest('tr') === row);
  const next = links[now < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(now + step, 0), links.length - 1)];
  next?.focus();
  next?.closest('tr').scrollIntoView({ block: 'nearest' });
}

let prefix = false;

export function listen({ add }) {
  document.addEventListener('keydown', (e) => {
    const field = e.target.closest('input:not([type=checkbox]), textarea, select');
    if (field && e.key === 'Escape' && !e.target.closest('dialog')) field.blur();
    if (e.ctrlKey || e.metaKey || e.altKey || field || document.querySelector('dialog[open]')) return;
    if (prefix) {
      prefix = false;
      if (pages[e.key]) location.hash = '#' + pages[e.key];
      return;
    }
    const act = {
      '/': () => document.querySelector('#main [data-search]')?.focus(),
      j: () => move(1),
      k: () => move(-1),
      x: () => document.activeElement?.closest('tr')?.querySelector('input[type=checkbox]')?.click(),
      a: add,
      g: () => { prefix = true; },
      '?': showKeys,
    }[e.key];
    if (!act) return;
    e.preventDefault();
    act();
  });
}

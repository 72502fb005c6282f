// Dialogs, messages and the clipboard.

import { h, append } from './dom.js';
import { explain } from './api.js';
import { icon } from './icons.js';

// button makes a button. Options: icon, kind (primary | danger | icon), title.
export function button(label, press, { icon: symbol, kind, title, disabled, type } = {}) {
  return h('button', {
    type: type ?? 'button', class: kind, title, disabled,
    'aria-label': kind === 'icon' ? label : null,
    on: press ? { click: press } : {},
  }, symbol && icon(symbol), kind === 'icon' ? null : h('span', null, label));
}

// open shows a modal dialog; the browser moves the focus into it, keeps it there, and
// gives it back. build(close) returns the content.
export function open(title, build, { wide } = {}) {
  const id = 'd' + Math.random().toString(36).slice(2);
  const dialog = h('dialog', { class: wide ? 'wide' : null, 'aria-labelledby': id });
  const close = (value) => {
    dialog.returnValue = value ?? '';
    dialog.close();
  };
  append(dialog, [
    h('div', { class: 'dialog-head' }, h('h2', { id }, title), button('Close', () => close(), { kind: 'icon', icon: 'close' })),
    build(close),
  ]);
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// confirm asks before an act that cannot be undone. It resolves with the values of the
// form, or null. extra are further fields. The safe answer has the focus.
export function confirm({ title, body, action, danger = true, extra = [] }) {
  return new Promise((resolve) => {
    let result = null;
    const dialog = open(title, (close) => h('form', {
      on: {
        submit(e) {
          e.preventDefault();
          result = Object.fromEntries(new FormData(e.target));
          close('yes');
        },
      },
    },
    h('div', { class: 'dialog-body' }, body, extra),
    h('div', { class: 'dialog-foot' },
      h('button', { type: 'button', autofocus: true, on: { click: () => close() } }, 'Keep as it is'),
      button(action, null, { kind: danger ? 'danger' : 'primary', type: 'submit' }))));
    dialog.addEventListener('close', () => resolve(result));
  });
}

const toastTime = 6000; // ms
const mostToasts = 4;

// toast shows a message for a while, and longer while it has the pointer or the focus. An
// error stays until it is closed, a message with an action until that is used or it is
// closed. Above mostToasts the oldest message that would end by itself is removed, or else
// the oldest.
export function toast(text, { error = false, action } = {}) {
  const stays = error || Boolean(action);
  const box = h('div', { class: 'toast' + (error ? ' bad' : ''), role: error ? 'alert' : null, data: stays ? { stays: '' } : {} },
    icon(error ? 'error' : 'completed'), h('span', { class: 'grow wrap' }, text),
    action, button('Dismiss', () => box.remove(), { kind: 'icon', icon: 'close' }));
  const area = document.getElementById('toasts');
  while (area.childElementCount >= mostToasts) (area.querySelector('.toast:not([data-stays])') ?? area.firstElementChild).remove();
  area.append(box);
  action?.addEventListener?.('click', () => box.remove());
  if (stays) return;
  const end = () => {
    if (box.matches(':hover, :focus-within')) setTimeout(end, toastTime);
    else box.remove();
  };
  setTimeout(end, toastTime);
}

// attempt awaits an act and shows its error. It resolves with whether the act has happened;
// text is shown then.
export async function attempt(act, text) {
  try {
    await act();
  } catch (e) {
    toast(explain(e), { error: true });
    return false;
  }
  if (text) toast(text);
  return true;
}

export async function copy(text, what = 'Copied') {
  try {
    await navigator.clipboard.writeText(text);
    toast(what + ': ' + (text.length > 90 ? text.slice(0, 90) + '…' : text));
  } catch {
    // Browsers lend the clipboard to pages of this machine and of HTTPS only.
    const field = h('textarea', { readonly: true, rows: 4, 'aria-label': 'Text to copy' });
    field.value = text;
    open('Copy this text', () => h('div', { class: 'dialog-body' }, field));
    field.select();
  }
}

// shell quotes a word for a POSIX shell.
export function shell(word) {
  const text = String(word);
  return /^[A-Za-z0-9_\/:.,=@%+-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'";
}

export const command = (...words) => ['aria', ...words.map(shell)].join(' ');

// nextCommand is what a person would do next with a task on the command line, which acts for
// another client by default.
export function nextCommand(t) {
  const verb = { failed: 'retry', paused: 'resume' }[t.status] ?? 'show';
  return command(verb, t.id, ...(t.client ? ['--client', t.client] : []));
}

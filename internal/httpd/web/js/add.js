// The dialog that adds downloads: URLs, one a line, and dropped torrent or metalink files.

import { h, name, visible } from './dom.js';
import { submit, explain, session } from './api.js';
import { open, button, toast } from './dialog.js';
import { field, select, priorities, link } from './parts.js';
import * as f from './format.js';

const maxFile = 384 * 1024; // 512 KiB as base64
const batch = 200;

const newID = () => [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, '0')).join('');

// pairs reads "name=value" separated by commas.
function pairs(text) {
  const out = {};
  for (const part of text.split(',').map((p) => p.trim()).filter(Boolean)) {
    const at = part.indexOf('=');
    if (at < 1) throw new Error(`"${part}" is not name=value`);
    out[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return Object.keys(out).length ? out : undefined;
}

async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

const isMetalink = (file) => /\.(metalink|meta4)$/i.test(file.name);
const isTorrent = (file) => /\.torrent$/i.test(file.name);

// specs makes the specs of the form, each with an id. ids has those of the submits whose
// outcome is unknown: an equal spec gets the same id, so that a repeated submit adds it once.
async function specs(form, files, ids) {
  const v = Object.fromEntries(new FormData(form));
  const common = { labels: pairs(v.labels), tags: pairs(v.tags) };
  if (v.priority !== 'normal') common.priority = v.priority;
  if (v.folder) common.folder = v.folder.trim();
  if (v.not_before) common.not_before = new Date(v.not_before).toISOString();
  if (v.max_attempts) common.max_attempts = Number(v.max_attempts);
  const urls = v.urls.split('\n').map((l) => l.trim()).filter((l) => l && !l.startsWith('#'));
  const list = urls.map((url) => ({ what: url, spec: { url, ...common } }));
  for (const file of files) {
    list.push({ what: file.name, spec: { [isMetalink(file) ? 'metalink' : 'torrent']: await base64(file), ...common } });
  }
  const single = { ...(v.out && { options: { out: v.out } }), ...(v.checksum && { checksum: v.checksum.trim() }) };
  if (Object.keys(single).length) {
    if (list.length !== 1) throw new Error('A file name and a checksum belong to one download only.');
    Object.assign(list[0].spec, single);
  }
  const equal = new Map(); // numbers of equal specs
  for (const { spec } of list) {
    const text = JSON.stringify([v.client, spec]);
    equal.set(text, (equal.get(text) ?? 0) + 1);
    const key = equal.get(text) + text;
    if (!ids.has(key)) ids.set(key, newID());
    spec.id = ids.get(key);
  }
  return list;
}

// showAdd opens the dialog, with files that were dropped.
export function showAdd(dropped = []) {
  const files = [];
  const ids = new Map();
  const urls = h('textarea', { name: 'urls', rows: 6, autofocus: true, spellcheck: 'false', placeholder: 'https://example.org/file.iso\nmagnet:?xt=…' });
  const list = h('ul', { class: 'files' });
  const problem = h('div', { class: 'notice bad', role: 'alert', hidden: true });
  const say = (text) => {
    problem.hidden = !text;
    problem.textContent = visible(text);
  };
  const draw = () => list.replaceChildren(...files.map((file) => h('li', null, name(file.name), ' ', f.bytes(file.size), ' ',
    button('Leave out ' + file.name, () => { files.splice(files.indexOf(file), 1); draw(); }, { kind: 'icon', icon: 'close' }))));
  async function take(more) {
    say('');
    for (const file of more) {
      if (isTorrent(file) || isMetalink(file)) {
        if (file.size > maxFile) say(`${file.name} has ${f.bytes(file.size)}; at most ${f.bytes(maxFile)} are possible.`);
        else files.push(file);
      } else if (/\.txt$/i.test(file.name)) urls.value += (urls.value && '\n') + (await file.text());
      else say(`${file.name} is neither a .torrent, a .metalink nor a .txt file with URLs.`);
    }
    draw();
  }
  const pick = h('input', { type: 'file', multiple: true, accept: '.torrent,.metalink,.meta4,.txt', on: { change: (e) => { take([...e.target.files]); e.target.value = ''; } } });

  const dialog = open('Add downloads', (close) => {
    const go = button('Add', null, { kind: 'primary', type: 'submit' });
    const form = h('form', { on: { submit: send, dragover: (e) => e.preventDefault() } },
      h('div', { class: 'dialog-body' },
        field('URLs, one a line', urls, 'http, https, ftp, sftp or magnet'),
        field('Torrent, metalink or list of URLs', pick, 'Or drop the files anywhere on the page'), list,
        h('div', { class: 'grid2' },
          field('Priority', select({ name: 'priority', value: 'normal' }, priorities.map((p) => [p]))),
          session.own ? null : field('Client', h('input', { name: 'client', value: 'operator', autocomplete: 'off' }))),
        h('details', null, h('summary', null, 'More'),
          h('div', { class: 'grid2' },
            field('Folder', h('input', { name: 'folder', autocomplete: 'off' }), 'A name that the workers map to a directory'),
            field('File name', h('input', { name: 'out', autocomplete: 'off' }), 'For one download'),
            field('Labels', h('input', { name: 'labels', placeholder: 'project=debian, batch=7', autocomplete: 'off' })),
            field('Tags that the worker must have', h('input', { name: 'tags', placeholder: 'location=eu', autocomplete: 'off' })),
            field('Not before', h('input', { name: 'not_before', type: 'datetime-local' })),
            field('Attempts at most', h('input', { name: 'max_attempts', type: 'number', min: 1, max: 1000 })),
            field('Checksum', h('input', { name: 'checksum', placeholder: 'sha-256=…', autocomplete: 'off' }), 'For one download'))),
        problem),
      h('div', { class: 'dialog-foot' }, button('Close', () => close()), go));
    form.querySelector('[name=priority]').value = 'normal';

    async function send(e) {
      e.preventDefault();
      say('');
      go.disabled = true;
      try {
        const all = await specs(form, files, ids);
        if (!all.length) throw new Error('Give at least one URL or file.');
        const refused = [];
        let last = null;
        for (let i = 0; i < all.length; i += batch) {
          const part = all.slice(i, i + batch);
          const answer = await submit(form.client?.value.trim(), part.map((p) => p.spec));
          answer.tasks.forEach((t, n) => (t.error ? refused.push({ ...part[n], error: t.error.message }) : (last = t.task)));
        }
        ids.clear();
        const added = all.length - refused.length;
        if (added) {
          toast(added === 1 ? 'One download is added.' : `${f.count(added)} downloads are added.`,
            { action: added === 1 && link('task', last.id, 'Show it') });
        }
        if (!refused.length) return close();
        // What was refused stays in the form, to be corrected.
        urls.value = refused.filter((r) => r.spec.url).map((r) => r.spec.url).join('\n');
        const names = new Set(refused.map((r) => r.what));
        files.splice(0, files.length, ...files.filter((file) => names.has(file.name)));
        draw();
        say(`${f.count(refused.length)} refused. ${refused.slice(0, 5).map((r) => `${r.what.slice(0, 80)}: ${r.error}`).join(' · ')}`);
      } catch (err) {
        say(err.code === undefined ? err.message : explain(err));
      } finally {
        go.disabled = false;
      }
    }
    return form;
  }, { wide: true });
  dialog.take = take;
  take(dropped);
  return dialog;
}

// acceptDrops takes files and links that are dropped anywhere on the page.
export function acceptDrops() {
  let shown = null;
  const hint = h('div', { class: 'drop', hidden: true }, h('p', null, 'Drop .torrent, .metalink or .txt files to add them'));
  document.body.append(hint);
  let depth = 0;
  const carries = (e) => [...(e.dataTransfer?.types ?? [])].includes('Files');
  document.addEventListener('dragenter', (e) => { if (carries(e) && ++depth) hint.hidden = false; });
  document.addEventListener('dragleave', (e) => { if (carries(e) && --depth <= 0) { depth = 0; hint.hidden = true; } });
  document.addEventListener('dragover', (e) => { if (carries(e)) e.preventDefault(); });
  document.addEventListener('drop', (e) => {
    if (!carries(e)) return;
    e.preventDefault();
    depth = 0;
    hint.hidden = true;
    const files = [...e.dataTransfer.files];
    if (shown?.open) shown.take(files);
    else if (!document.querySelector('dialog[open]')) shown = showAdd(files);
    else document.querySelector('dialog[open]').take?.(files);
  });
}

// Dead letters: messages of the intake that can never be accepted.

import { h, name } from '../dom.js';
import { post } from '../api.js';
import { head, notice, table, pager, empty, time, facts } from '../parts.js';
import { attempt, button, confirm, open, copy } from '../dialog.js';
import { icon } from '../icons.js';
import * as f from '../format.js';

export function mount(root, { query, signal }) {
  let cursors = [''];
  let next = '';
  let client = query.get('client') ?? '';
  const problem = notice();
  const box = h('input', { type: 'search', name: 'client', value: client, placeholder: 'Client', 'aria-label': 'Client', 'data-search': '', maxlength: 64, autocomplete: 'off' });
  const t = table('Dead letters', [{ title: 'Number', class: 'r' }, { title: 'Client' }, { title: 'Why' }, { title: 'When', class: 'c-age' }, { title: ' ', content: h('span', { class: 'sr' }, 'Actions') }]);
  const none = h('div', { hidden: true });
  const pages = pager((where) => {
    if (where === 'first') cursors = [''];
    else if (next) cursors.push(next);
    load();
  });
  root.append(head('Dead letters', button('Read again', () => load(), { icon: 'retry' })), problem,
    h('form', {
      class: 'filters', role: 'search',
      on: { submit(e) { e.preventDefault(); location.hash = '#/dlq' + (box.value.trim() ? '?client=' + encodeURIComponent(box.value.trim()) : ''); } },
    }, h('div', { class: 'filter-row' }, h('label', { class: 'searchbox' }, icon('search'), box), button('Filter', null, { type: 'submit' }))),
    h('p', { class: 'muted' }, 'Messages of the intake that were refused for good. Submit them again after the reason is gone.'), t, none, pages);

  async function load() {
    try {
      const page = await post('admin/dlq/list', { client: client || undefined, limit: 100, cursor: cursors.at(-1) || undefined }, signal);
      problem.show(null);
      const list = page.dead_letters ?? [];
      next = page.next ?? '';
      t.hidden = list.length === 0;
      none.hidden = list.length > 0;
      none.replaceChildren(empty(client ? 'This client has no dead letters.' : 'There are no dead letters.', 'Every message of the intake was accepted, or its dead letter was removed.'));
      pages.hidden = list.length === 0 && cursors.length === 1;
      pages.show({ page: cursors.length, more: Boolean(next), rows: list.length });
      t.body.replaceChildren(...list.map((m) => row(m, load)));
    } catch (e) {
      if (!signal.aborted) {
        t.hidden = pages.hidden = true;
        problem.show(e);
      }
    }
  }
  load();
  return {
    change(q) {
      client = q.get('client') ?? '';
      box.value = client;
      cursors = [''];
      load();
    },
  };
}

const act = async (verb, m, done, past) => {
  const happened = await attempt(() => post('admin/dlq/' + verb, { client: m.client, seq: m.seq }), `The dead letter ${m.seq} is ${past}.`);
  if (happened) done();
};

function row(m, done) {
  return h('tr', null, h('td', { class: 'r num' }, h('button', { type: 'button', class: 'linkish rowlink', on: { click: () => show(m) } }, String(m.seq))),
    h('td', null, name(m.client)), h('td', { class: 'wrap' }, icon('error'), ' ', name(String(m.reason ?? '').slice(0, 2000)), m.url && h('span', { class: 'sub muted clip' }, name(m.url.slice(0, 300)))),
    h('td', { class: 'c-age num' }, time(m.time)),
    h('td', { class: 'row-tools' },
      button(`Show ${m.seq}`, () => show(m), { kind: 'icon', icon: 'search', title: 'Show' }),
      button(`Submit ${m.seq} again`, () => act('resubmit', m, done, 'submitted again'), { kind: 'icon', icon: 'retry', title: 'Submit again' }),
      button(`Delete ${m.seq}`, async () => {
        const sure = await confirm({ title: 'Delete this dead letter?', body: [h('p', { class: 'example' }, `${m.seq} of `, name(m.client)), h('p', null, 'Its message is lost. This cannot be undone.')], action: 'Delete the dead letter' });
        if (sure) act('delete', m, done, 'deleted');
      }, { kind: 'icon', icon: 'trash', title: 'Delete' })));
}

async function show(m) {
  let whole = m;
  await attempt(async () => { whole = await post('admin/dlq/get', { client: m.client, seq: m.seq }); });
  const spec = JSON.stringify(whole.spec ?? {}, null, 2);
  open('Dead letter ' + m.seq, () => h('div', { class: 'dialog-body' },
    h('p', { class: 'notice bad wrap' }, name(whole.reason)),
    facts([['Client', whole.client], ['Time', f.full(whole.time)], ['Code', whole.code ? String(whole.code) : ''], ['Size', f.bytes(whole.size ?? 0)], ['Task', whole.id], ['Message id', whole.msg_id], ['Number in the intake', whole.intake_seq ? f.count(whole.intake_seq) : '']]),
    h('pre', { class: 'raw', tabindex: 0, 'aria-label': 'The spec as JSON' }, spec), h('div', null, button('Copy', () => copy(spec, 'Copied'), { icon: 'copy' }))), { wide: true });
}

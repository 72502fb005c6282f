// Export of the tasks of a filter as a file, read page by page.

import { h, set } from './dom.js';
import { listTasks, explain } from './api.js';
import { open, button } from './dialog.js';
import { field, select } from './parts.js';
import { describe } from './filter.js';
import * as f from './format.js';

// most bounds a file, because the browser collects it in memory.
const most = 100000;

const columns = ['id', 'client', 'status', 'url', 'priority', 'worker_id', 'attempt', 'failures', 'progress', 'completed_length', 'total_length', 'created_at', 'finished_at', 'error'];

// csvCell quotes a value. A leading = + - @ would be a formula in a spreadsheet.
export function csvCell(value) {
  let text = value === null || value === undefined ? '' : typeof value === 'object' ? value.message ?? JSON.stringify(value) : String(value);
  if (typeof value !== 'number' && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
  return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

const formats = {
  jsonl: { type: 'application/jsonl', head: '', row: (t) => JSON.stringify(t) + '\n' },
  csv: { type: 'text/csv', head: columns.join(',') + '\r\n', row: (t) => columns.map((c) => csvCell(t[c])).join(',') + '\r\n' },
  urls: { type: 'text/plain', head: '', row: (t) => (t.url ? t.url + '\n' : '') },
};

function save(chunks, kind) {
  const url = URL.createObjectURL(new Blob(chunks, { type: formats[kind].type }));
  const a = h('a', { href: url, download: `aria-tasks.${kind === 'urls' ? 'txt' : kind}` });
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

export function exportTasks(filter) {
  const stop = new AbortController();
  const dialog = open('Export tasks', (close) => {
    const kind = select({ name: 'kind' }, [['jsonl', 'JSON, one task a line'], ['csv', 'CSV, for spreadsheets'], ['urls', 'URLs only, one a line']]);
    const text = h('p', { class: 'num', role: 'status' }, describe(filter) || 'All tasks');
    const go = button('Export', null, { kind: 'primary', icon: 'download', type: 'submit' });
    return h('form', {
      on: {
        async submit(e) {
          e.preventDefault();
          go.disabled = true;
          const format = formats[kind.value];
          const chunks = [format.head];
          let rows = 0;
          let cursor;
          try {
            do {
              const page = await listTasks({ ...filter, limit: 1000, cursor }, stop.signal);
              chunks.push(page.tasks.map(format.row).join(''));
              rows += page.tasks.length;
              cursor = page.next;
              set(text, f.count(rows) + ' tasks read');
            } while (cursor && rows < most && !stop.signal.aborted);
            save(chunks, kind.value);
            if (cursor) set(text, `${f.count(rows)} tasks are exported. There are more: narrow the filter, or use "migrate" for the whole store.`);
            else close();
          } catch (err) {
            if (!stop.signal.aborted) set(text, explain(err));
          }
          go.disabled = false;
        },
      },
    },
    h('div', { class: 'dialog-body' }, field('Format', kind), text),
    h('div', { class: 'dialog-foot' }, button('Close', () => close()), go));
  });
  dialog.addEventListener('close', () => stop.abort());
}

// Clients: whose tasks wait and run.

import { mountTable } from '../summary.js';
import * as f from '../format.js';

const columns = [
  { title: 'Client', key: 'client', link: (r) => '#/tasks?client=' + encodeURIComponent(r.client) },
  { title: 'Waiting', key: 'waiting', num: true, show: f.count },
  { title: 'Running', key: 'running', num: true, show: f.count },
  { title: 'Paused', key: 'paused', num: true, show: (v) => (v === null ? '–' : f.count(v)), hide: true },
];

export const mount = (root, { query, signal }) => mountTable(root, {
  title: 'Clients', signal, columns, rows: (s) => s.clients, key: 'client', text: query.get('text') ?? '',
  none: ['No client has live tasks.', 'Clients appear here while they have tasks that wait or run.'],
  note: 'The clients of tasks that wait, run or are paused.',
});

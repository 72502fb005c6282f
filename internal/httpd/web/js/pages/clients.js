// Clients: whose tasks wait and run.

import { mountTable } from '../summary.js';
import * as f from '../format.js';

const columns = [
  { title: 'Client', key: 'client', link: (r) => '#/tasks?client=' + encodeURIComponent(r.client) },
  { title: 'Waiting or paused', key: 'waiting', num: true, show: f.count },
  { title: 'With a worker', key: 'active', num: true, show: f.count },
];

export const mount = (root, { query, signal }) => mountTable(root, {
  title: 'Clients', signal, columns, rows: (s) => s.clients, key: 'client', text: query.get('text') ?? '',
  none: ['No client has live tasks.', 'Clients appear here while they have tasks that wait or run.'],
  note: 'The 20 clients with the most tasks that are not terminal.',
});

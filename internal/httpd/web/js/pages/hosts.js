// Hosts: what each server is asked for, and which fail.

import { mountTable } from '../summary.js';
import * as f from '../format.js';

const columns = [
  { title: 'Host', key: 'host', link: (r) => '#/tasks?text=' + encodeURIComponent(r.host) },
  { title: 'Waiting', key: 'waiting', num: true, show: f.count },
  { title: 'Running', key: 'running', num: true, show: f.count },
  { title: 'Limit', key: 'limit', num: true, show: (v) => (v ? f.count(v) : 'none'), hide: true },
  { title: 'Failures', key: 'failures', num: true, show: f.count },
  { title: 'State', key: 'state' },
];

export const mount = (root, { query, signal }) => mountTable(root, {
  title: 'Hosts', signal, columns, rows: (s) => s.hosts, key: 'host', text: query.get('text') ?? '',
  none: ['No host is in use.', 'Hosts appear here while tasks wait for them or run against them, or have failed recently.'],
  note: 'The hosts of waiting and running tasks, and those that failed recently; at most those that the dispatcher names.',
});

// Hosts: what each server is asked for, and which fail.

import { mountTable } from '../summary.js';
import { failingHosts } from '../data.js';
import * as f from '../format.js';

const columns = [
  { title: 'Host', key: 'host', link: (r) => '#/tasks?text=' + encodeURIComponent(r.host) },
  { title: 'Waiting', key: 'waiting', num: true, show: f.count },
  { title: 'Running', key: 'running', num: true, show: f.count },
  { title: 'Limit', key: 'limit', num: true, show: (v) => (v ? f.count(v) : '–'), hide: true },
  { title: 'Failed, last hour', key: 'failures', num: true, show: f.count },
  { title: 'State', key: 'state' },
];

// merge adds the failures of each host to its figures.
async function merge(s, signal) {
  const failed = new Map((await failingHosts(signal)).hosts.map((x) => [x.host, x]));
  const rows = s.hosts.map((x) => ({ ...x, failures: failed.get(x.host)?.failures ?? 0, state: [x.state, failed.get(x.host)?.error].filter(Boolean).join('; ') }));
  const known = new Set(rows.map((r) => r.host));
  for (const x of failed.values()) if (!known.has(x.host)) rows.push({ key: x.host + ' ', host: x.host, waiting: 0, running: 0, failures: x.failures, state: x.error });
  return rows;
}

export const mount = (root, { query, signal }) => mountTable(root, {
  title: 'Hosts', signal, columns, rows: merge, key: 'key', text: query.get('text') ?? '',
  none: ['No host needs attention.', 'Hosts appear here that have a limit (limits.per_host, limits.hosts), that asked a client to wait, or whose tasks failed in the last hour.'],
  note: 'The 20 hosts with the most tasks among those with a limit or a cool-down, and the hosts of the 200 newest failed tasks of the last hour.',
});

// Answers of the API in the form in which the pages show them.

import { listTasks } from './api.js';

const reasonText = {
  no_slot: 'waits for a free slot', backoff: 'backs off after a failure', not_before: 'is not to start yet',
  host_limit: 'waits for its host: the limit is reached', no_worker: 'no worker can take it',
  affinity: 'waits for the worker with its partial file', host_cooldown: 'its host asked to wait (Retry-After)',
  held: 'is held back until its import is verified',
};

const counted = (map) => Object.entries(map ?? {}).filter(([, n]) => n > 0);

// readStatus reads the answer of query.status.
export function readStatus(s) {
  const reasons = counted(s.waiting).length ? s.waiting : s.waiting_reasons;
  const oldest = Object.entries(s.oldest_waiting ?? {}).sort((a, b) => b[1] - a[1])[0];
  return {
    counts: s.tasks_by_status ?? {},
    total: s.total_tasks ?? 0,
    speed: s.download_speed ?? 0,
    usedSlots: s.used_slots ?? 0,
    totalSlots: s.total_slots ?? 0,
    load: s.system_load ?? 0,
    activeWorkers: s.active_workers ?? 0,
    totalWorkers: s.total_workers ?? 0,
    oldest: oldest ? oldest[1] : null,
    oldestPriority: oldest ? oldest[0] : '',
    waiting: counted(reasons).map(([reason, count]) => ({ key: reason, text: reasonText[reason] ?? reason, count })).sort((a, b) => b.count - a.count),
    hosts: (s.hosts ?? []).map((x) => ({ ...x, key: x.host + ' ' + (x.client ?? ''), state: hostState(x) })),
    clients: s.clients ?? [],
  };
}

function hostState(x) {
  if (x.client) {
    return `${x.client} waits, as the host asked` + (x.cooldown_until ? ' until ' + new Date(x.cooldown_until).toLocaleTimeString('en-GB') : '; one task tries it now');
  }
  return x.limit && x.running >= x.limit ? 'at its limit' : '';
}

// recentFailures bounds how many failed tasks are read to find failing hosts.
const recentFailures = 200;

// failingHosts counts the newest failed tasks among those of the last hour by host.
export async function failingHosts(signal) {
  const since = new Date(Date.now() - 3600e3).toISOString();
  const { tasks, next } = await listTasks({ status: ['failed'], since, limit: recentFailures }, signal);
  const hosts = new Map();
  for (const t of tasks) {
    const host = t.error?.host || hostOf(t.url);
    if (!host) continue;
    const entry = hosts.get(host) ?? { host, failures: 0, error: t.error?.message ?? '' };
    entry.failures++;
    hosts.set(host, entry);
  }
  return { hosts: [...hosts.values()].sort((a, b) => b.failures - a.failures), complete: !next };
}

function hostOf(url) {
  try {
    return new URL(url).hostname;
  } catch {
    return '';
  }
}

// readSeries reads the answer of query/series: arrays of one value for each time.
export function readSeries(s) {
  const at = (name) => s[name] ?? [];
  const times = at('times').map((t) => (typeof t === 'number' ? t : Date.parse(t) / 1000));
  const rows = (name) => times.map((_, i) => at(name)[i] ?? null);
  return {
    times, speed: rows('download_speed'), downloading: rows('downloading'), waiting: rows('waiting'),
    completed: rows('completed'), failed: rows('failed'), commit: rows('commit_p99'),
  };
}

// readConfig reads the answer of query/config.
export function readConfig(answer) {
  return (answer.keys ?? []).map((k) => ({
    key: k.key, value: typeof k.value === 'string' ? k.value : JSON.stringify(k.value ?? ''), origin: k.origin ?? '',
  }));
}

// Answers of the API in the form in which the pages show them.

const reasonText = {
  no_slot: 'waits for a free slot', backoff: 'backs off after a failure', not_before: 'is not to start yet',
  host_limit: 'waits for its host: the limit is reached', no_worker: 'no worker can take it',
  affinity: 'waits for the worker with its partial file', host_cooldown: 'its host asked to wait (Retry-After)',
  held: 'is held back until its import is verified',
};

const list = (value, key) => (Array.isArray(value) ? value : Object.entries(value ?? {}).map(([k, v]) =>
  (typeof v === 'object' && v ? { [key]: k, ...v } : { [key]: k, count: v })));

export function readStatus(s) {
  return {
    raw: s,
    counts: s.tasks_by_status ?? {},
    total: s.total_tasks ?? 0,
    speed: s.download_speed ?? 0,
    usedSlots: s.used_slots ?? 0,
    totalSlots: s.total_slots ?? 0,
    load: s.system_load ?? 0,
    activeWorkers: s.active_workers ?? 0,
    totalWorkers: s.total_workers ?? 0,
    oldest: null, oldestPriority: '', commitP99: null,
    waiting: list(s.waiting, 'reason').map((w) => ({ key: w.reason, text: reasonText[w.reason] ?? w.reason, count: w.count })).sort((a, b) => b.count - a.count),
    hosts: [], clients: [],
  };
}

export function readSeries() {
  return { times: [], speed: [], downloading: [], waiting: [], completed: [], failed: [], commit: [], commitP99: null };
}

export function readConfig(answer) {
  return list(answer.keys ?? answer.config ?? answer, 'key').map((k) => ({
    key: k.key ?? k.name, value: typeof k.value === 'string' ? k.value : JSON.stringify(k.value ?? ''), origin: k.origin ?? k.source ?? '',
  }));
}

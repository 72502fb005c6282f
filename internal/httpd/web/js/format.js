// Numbers, sizes and times for people.

// Intl is not used for what the first view shows: the browser loads its data for 50 ms.

// count groups the digits of a number, and keeps three after the point.
export function count(n) {
  const [whole, ...fraction] = String(Number(Number(n ?? 0).toFixed(3))).split('.');
  return [whole.replace(/\B(?=(\d{3})+$)/g, ','), ...fraction].join('.');
}

// counted is a number with its noun: "1 row", "2 rows".
export const counted = (n, noun) => `${count(n)} ${noun}${n === 1 ? '' : 's'}`;

// short is count, above 100,000 with a unit instead of the last digits.
export function short(n) {
  let rest = n ?? 0;
  if (Math.abs(rest) < 100000) return count(rest);
  let unit = '';
  for (const next of ['K', 'M', 'B', 'T']) {
    if (Math.abs(rest) < 999.95) break;
    rest /= 1000;
    unit = next;
  }
  return Number(rest.toFixed(1)) + unit;
}

const units = ['B', 'KB', 'MB', 'GB', 'TB', 'PB', 'EB'];

export function bytes(n) {
  if (!Number.isFinite(n) || n < 0) return '–';
  let i = 0;
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return (i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)) + ' ' + units[i];
}

export const speed = (n) => (n > 0 ? bytes(n) + '/s' : '–');

// duration formats seconds with at most two units.
export function duration(s) {
  if (!Number.isFinite(s) || s < 0) return '–';
  if (s < 0.001) return Math.round(s * 1e6) + ' µs';
  if (s < 1) return (s * 1000 < 10 ? (s * 1000).toFixed(1) : Math.round(s * 1000)) + ' ms';
  if (s < 60) return (s < 10 ? Number(s.toFixed(1)) : Math.round(s)) + ' s';
  s = Math.round(s);
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = parts.findIndex(([size]) => s >= size);
  const [size, unit] = parts[first];
  const rest = parts[first + 1] ? Math.floor((s % size) / parts[first + 1][0]) : 0;
  return Math.floor(s / size) + ' ' + unit + (rest ? ' ' + rest + ' ' + parts[first + 1][1] : '');
}

const since = (time) => (Date.now() - Date.parse(time)) / 1000;

// age is the time since then, in whole seconds.
export function age(time) {
  if (!time) return '–';
  const s = since(time);
  return s < 1 ? 'now' : duration(Math.round(s));
}

// brief is age with one unit, for narrow columns.
export const brief = (time) => age(time).split(' ').slice(0, 2).join(' ');

export const ago = (time) => (!time ? 'never' : since(time) < 1 ? 'now' : age(time) + ' ago');

export function clock(time) {
  if (!time) return '–';
  const d = new Date(time);
  if (Number.isNaN(d.getTime())) return String(time);
  const same = d.toDateString() === new Date().toDateString();
  const t = d.toLocaleTimeString('en-GB');
  return same ? t : d.toLocaleDateString('en-CA') + ' ' + t;
}

export function full(time) {
  if (!time) return '';
  const d = new Date(time);
  return Number.isNaN(d.getTime()) ? String(time) : d.toISOString().replace('T', ' ').replace('Z', ' UTC');
}

export const percent = (p) => (p > 0 && p < 100 ? Math.min(p, 99.9).toFixed(1) : Math.round(p || 0)) + '%';

// eta is how long the rest takes, in seconds; NaN if that is not known.
export function eta(task) {
  const rest = (task.total_length || 0) - (task.completed_length || 0);
  return task.status === 'downloading' && rest > 0 && task.download_speed > 0 ? rest / task.download_speed : NaN;
}

// fileName is what a person calls a task: its file.
export function fileName(task) {
  const out = task.options?.out;
  if (out) return String(out);
  const files = task.result?.files;
  if (files?.length) return files[0].path.split('/').pop() + (files.length > 1 ? ` and ${files.length - 1} more` : '');
  if (!task.url) return 'torrent or metalink ' + task.id.slice(-8);
  try {
    const u = new URL(task.url);
    if (u.protocol === 'magnet:') return u.searchParams.get('dn') || u.searchParams.get('xt') || task.url;
    const last = u.pathname.split('/').filter(Boolean).pop();
    return last ? decode(last) : u.host;
  } catch {
    return task.url;
  }
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function host(task) {
  try {
    return new URL(task.url).host;
  } catch {
    return '';
  }
}

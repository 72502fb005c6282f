// Tests of the functions that need no page.

import test from 'node:test';
import assert from 'node:assert/strict';

globalThis.location = { href: 'http://127.0.0.1:8080/' };
const f = await import('../js/format.js');
const { readFilter, describe, commandWords, matches, isEmpty } = await import('../js/filter.js');
const { command, nextCommand, shell } = await import('../js/dialog.js');
const { csvCell } = await import('../js/export.js');
const { timeRange, timeLabels } = await import('../js/charts.js');
const { visible, atMost } = await import('../js/dom.js');
const { readStatus, readSeries } = await import('../js/data.js');

const filter = (text) => readFilter(new URLSearchParams(text));

test('sizes and durations have one fitting unit', () => {
  assert.equal(f.bytes(0), '0 B');
  assert.equal(f.bytes(999), '999 B');
  assert.equal(f.bytes(1500), '1.5 KB');
  assert.equal(f.bytes(123456789), '123 MB');
  assert.equal(f.bytes(NaN), '–');
  assert.equal(f.speed(0), '–');
  assert.equal(f.duration(0.0000005), '1 µs');
  assert.equal(f.duration(0.0042), '4.2 ms');
  assert.equal(f.duration(59), '59 s');
  assert.equal(f.duration(61), '1 min 1 s');
  assert.equal(f.duration(90000), '1 d 1 h');
  assert.equal(f.duration(Infinity), '–');
  assert.equal(f.percent(99.97), '99.9%');
  assert.equal(f.percent(100), '100%');
});

test('numbers are those of Intl, which takes longer to load', () => {
  const whole = new Intl.NumberFormat('en');
  const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
  for (const n of [0, 1, 999, 1000, 12345, 99999, 100000, 123456, 999949, 999951, 1234567, 5000000, 987654321, 5e12, -4321, -1234567, 0.25, 2.5]) {
    assert.equal(f.count(n), whole.format(n));
    assert.equal(f.short(n), Math.abs(n) < 100000 ? whole.format(n) : compact.format(n));
  }
  assert.equal(f.count(undefined), '0');
  assert.deepEqual([0, 1, 2, 1000].map((n) => f.counted(n, 'row')), ['0 rows', '1 row', '2 rows', '1,000 rows']);
});

test('the ticks of a plot have labels that differ', () => {
  for (const step of [1, 15, 30, 60, 600]) {
    const ticks = [0, 1, 2, 3].map((i) => 1700000000 + i * step);
    assert.equal(new Set(timeLabels(ticks)).size, 4, timeLabels(ticks).join(' '));
  }
  assert.match(timeLabels([1700000000])[0], /^\d\d:\d\d$/);
});

test('a task is named by its file', () => {
  assert.equal(f.fileName({ url: 'https://a.example/b/c%20d.iso?x=1' }), 'c d.iso');
  assert.equal(f.fileName({ url: 'https://a.example/' }), 'a.example');
  assert.equal(f.fileName({ url: 'https://a.example/%E0%A4%A' }), '%E0%A4%A');
  assert.equal(f.fileName({ url: 'magnet:?xt=urn:btih:aa&dn=x.iso' }), 'x.iso');
  assert.equal(f.fileName({ url: 'not a URL' }), 'not a URL');
  assert.equal(f.fileName({ id: '0123456789abcdef' }), 'torrent or metalink 89abcdef');
  assert.equal(f.fileName({ result: { files: [{ path: 'a' }, { path: 'b' }] } }), 'a and 1 more');
});

test('a filter is the same in the address, in words and as a command', () => {
  const one = filter('status=failed,nonsense&client=shop&label=a%3Db%3Dc&text=it%27s');
  assert.deepEqual(one, { status: ['failed'], client: 'shop', labels: { a: 'b=c' }, text: "it's" });
  assert.equal(describe(one), 'failed, "it\'s" in the URL, client shop, label a=b=c');
  assert.equal(command('ls', ...commandWords(one)), "aria ls --status failed --client shop --text 'it'\\''s' --label a=b=c");
  assert.ok(Math.abs(Date.parse(filter('since=1h').since) - (Date.now() - 3600e3)) < 5000);
  assert.deepEqual(filter('since=nonsense&until='), {});
  assert.ok(isEmpty(filter('order=created_at')));
  assert.ok(matches(one, { status: 'failed' }) && !matches(one, { status: 'pending' }));
});

test('an axis of time has all times, and a minute for one alone', () => {
  assert.deepEqual(timeRange([100, 110, 120]), [100, 120]);
  assert.deepEqual(timeRange([100]), [40, 100]);
  assert.ok(timeRange([])[1] > 1e9);
});

test('a flood of events asks once in a while', async () => {
  let calls = 0;
  const leave = new AbortController();
  const ask = atMost(40, leave.signal, () => calls++);
  const began = performance.now();
  while (performance.now() - began < 200) {
    ask();
    await new Promise(setImmediate);
  }
  assert.ok(calls >= 2 && calls <= 6, `${calls} calls`);
  ask();
  leave.abort();
  const before = calls;
  await new Promise((done) => setTimeout(done, 80));
  assert.equal(calls, before);
});

test('words are quoted for a shell', () => {
  assert.equal(nextCommand({ id: 'one', client: 'shop', status: 'failed' }), 'aria retry one --client shop');
  assert.equal(nextCommand({ id: 'one', status: 'pending' }), 'aria show one');
  assert.equal(shell('abc-1'), 'abc-1');
  assert.equal(shell(''), "''");
  assert.equal(shell('$(rm x)'), "'$(rm x)'");
  assert.equal(shell('a\nb'), "'a\nb'");
});

test('a cell of a table is no formula and one field', () => {
  assert.equal(csvCell('=1+1'), "'=1+1");
  assert.equal(csvCell('a,"b"'), '"a,""b"""');
  assert.equal(csvCell(-5), '-5');
  assert.equal(csvCell({ message: 'line\nbreak' }), '"line\nbreak"');
  assert.equal(csvCell(undefined), '');
});

test('marks of direction are shown by their number', () => {
  assert.equal(visible('a\u202Eb\u0000'), 'a‹U+202E›b‹U+0000›');
  assert.equal(visible('naïve кино 漢字 😀'), 'naïve кино 漢字 😀');
  assert.equal(visible(null), '');
});

test('a status of an older dispatcher is read too', () => {
  const s = readStatus({ tasks_by_status: { pending: 2 }, waiting: { 'waits for a free slot': 2, other: 0 } });
  assert.deepEqual(s.waiting, [{ key: 'waits for a free slot', text: 'waits for a free slot', count: 2 }]);
  assert.equal(s.oldest, null);
  assert.deepEqual(s.hosts, []);
  const t = readStatus({ waiting_reasons: { no_slot: 1, held: 0 }, oldest_waiting: { normal: 5, high: 9 } });
  assert.equal(t.waiting[0].text, 'waits for a free slot');
  assert.deepEqual([t.oldest, t.oldestPriority], [9, 'high']);
  assert.deepEqual(readSeries({ times: [1, 2], downloading: [3] }).downloading, [3, null]);
});

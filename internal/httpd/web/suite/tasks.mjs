// The list of tasks and the page of one.

import fs from 'node:fs';
import { open, go, check, copies, eventually, dialog, press, row, files, api, submit, task, status } from './lib.mjs';

const later = () => new Date(Date.now() + 3600e3).toISOString();
const waiting = (prefix, n, more) => [...Array(n)].map((_, i) => ({ id: `${prefix}-${i}`, url: `${files}/file/${prefix}-${i}.bin`, not_before: later(), ...more }));

// The filter is in the address, holds over a reload, and is copied as a command.
export async function filterIsInAddress() {
  await submit(waiting('filter', 3, { labels: { set: 'f' } }));
  const { page, done } = await open('/tasks');
  await page.locator('.chip', { hasText: 'pending' }).click();
  await page.getByLabel('Part of the URL').fill('FILTER-1');
  await eventually('the address has the filter', () => page.url().includes('status=pending') && page.url().includes('text=FILTER-1'));
  await row(page, 'filter-1.bin').waitFor();
  await eventually('the others are gone', async () => (await page.locator('#main tbody tr').count()) === 1);
  await page.reload();
  await row(page, 'filter-1.bin').waitFor();
  check((await page.getByLabel('Part of the URL').inputValue()) === 'FILTER-1', 'the search is empty after a reload');
  check((await page.locator('#main tbody tr').count()) === 1, 'other rows after a reload');
  await copies(page, 'Copy as aria command', 'aria ls --status pending --all-clients --text FILTER-1');
  await page.goBack();
  await go(page, '/tasks?label=set%3Df');
  await eventually('a label selects three', async () => (await page.locator('#main tbody tr').count()) === 3);
  await page.getByLabel('Part of the URL').fill('no such thing');
  await page.getByText('No task matches this filter.').waitFor();
  await press(page, 'Clear the filter');
  await row(page, 'filter-2.bin').first().waitFor();
  await done();
}

// Every other filter selects what it says, and Clear removes all of them.
export async function everyFilter() {
  const at = (id, more) => ({ id, url: `${files}/file/${id}.bin`, not_before: later(), ...more });
  await submit([at('each-1', { priority: 'high', labels: { odd: 'yes' } }), at('each-2')], 'each');
  await submit([at('other-1')], 'each-other');
  const { page, done } = await open('/tasks');
  await page.getByText('More filters').click();
  const selects = async (what, ...names) => {
    await eventually(`${what} selects ${names}`, async () => {
      const found = (await page.locator('#main tbody tr .rowlink').allTextContents()).join();
      return found === names.join();
    });
  };
  await page.getByLabel('Client').fill('each');
  await selects('a client', 'each-2.bin', 'each-1.bin');
  await page.getByLabel('Order').selectOption('created_at');
  await selects('the order', 'each-1.bin', 'each-2.bin');
  await page.getByLabel('Priority').selectOption('high');
  await selects('a priority', 'each-1.bin');
  await page.getByLabel('Priority').selectOption('');
  await page.getByLabel('Label').fill('odd=yes');
  await selects('a label', 'each-1.bin');
  await page.getByLabel('Label').fill('');
  await page.getByLabel('Worker').fill('node-none');
  await page.getByText('No task matches this filter.').waitFor();
  await page.getByLabel('Worker').fill('');
  await page.getByLabel('Created', { exact: true }).selectOption('1h');
  await selects('the last hour', 'each-1.bin', 'each-2.bin');
  await page.getByLabel('Created before').fill('2020-01-01T00:00');
  await page.getByText('No task matches this filter.').waitFor();
  await press(page, 'Clear');
  await row(page, 'other-1.bin').waitFor();
  check(page.url().endsWith('#/tasks'), 'the address is ' + page.url());
  await api('admin/task/cancel', { ids: ['each-1', 'each-2', 'other-1'] });
  await done();
}

// Cursor pages go forward and back to the first.
export async function pagesByCursor() {
  await submit(waiting('cursor', 150, { labels: { set: 'cursor' } }), 'pages');
  const { page, done } = await open('/tasks?client=pages');
  await row(page, 'cursor-149.bin').waitFor();
  await eventually('the first page has 100 rows', async () => (await page.locator('#main tbody tr').count()) === 100);
  await press(page, 'Next page');
  await row(page, 'cursor-0.bin').waitFor();
  check(await page.getByRole('button', { name: 'Next page' }).isDisabled(), 'there is a page after the last');
  await press(page, 'First page');
  await row(page, 'cursor-149.bin').waitFor();
  await done();
}

// Rows follow the events: a row stays the same element while its figures change.
export async function rowsAreLive() {
  const { page, done } = await open('/tasks?client=live');
  await page.getByText('No task matches this filter.').waitFor();
  await submit([{ id: 'live-1', url: files + '/slow/live-1.bin' }], 'live');
  const live = row(page, 'live-1.bin');
  await live.filter({ hasText: 'downloading' }).waitFor();
  await live.evaluate((el) => {
    el.seen = new Set();
    el.removed = 0;
    new MutationObserver((all) => { for (const m of all) el.removed += [...m.removedNodes].filter((n) => n.nodeName === 'TR').length; }).observe(el.parentElement, { childList: true });
    new MutationObserver(() => el.seen.add(el.querySelector('progress').value)).observe(el, { subtree: true, attributes: true, characterData: true, childList: true });
  });
  await eventually('the progress changes three times', () => live.evaluate((el) => (el.seen?.size ?? -1) >= 3));
  const read = page.waitForResponse('**/task/list');
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange'))); // as if the tab was shown again
  await read;
  await eventually('the progress changes again', () => live.evaluate((el) => (el.seen?.size ?? -1) >= 4));
  check((await live.evaluate((el) => el.removed)) === 0, 'rows were removed while a task made progress, or when the list was read again');
  await press(page, 'Add downloads');
  await page.keyboard.press('Escape');
  await api('admin/task/cancel', { id: 'live-1' });
  await live.filter({ hasText: 'canceled' }).waitFor();
  await done();
}

// Every action works on a selection; the destructive ones ask.
export async function actOnSelection() {
  await submit(waiting('select', 3), 'select');
  const { page, done } = await open('/tasks?client=select');
  await row(page, 'select-0.bin').waitFor();
  const act = async (verb, want, sure) => {
    await page.getByLabel('Select all rows of this page').check();
    await page.getByRole('toolbar').getByRole('button', { name: verb, exact: true }).click();
    if (sure) {
      check((await dialog(page).textContent()).includes('3 tasks'), 'the question does not say how many tasks');
      check((await page.evaluate(() => document.activeElement.textContent)) === 'Keep as it is', 'the destructive answer has the focus');
      if (verb === 'Delete') await dialog(page).getByRole('checkbox').check();
      await dialog(page).getByRole('button', { name: `${verb} 3 tasks` }).click();
    }
    await eventually(`${verb}: all are ${want}`, async () => {
      const { tasks } = await api('query/task/list', { client: 'select' });
      return want === 'gone' ? tasks.length === 0 : tasks.every((t) => t.status === want);
    });
    if (want !== 'gone') await eventually('the rows show it', async () => (await row(page, want).count()) === 3);
    await page.getByText('3 selected').waitFor({ state: 'detached' });
  };
  await page.getByLabel('Select all rows of this page').check();
  await copies(page, 'Copy ids', (text) => text.split('\n').sort().join() === 'select-0,select-1,select-2');
  await press(page, 'Clear the selection');
  await act('Pause', 'paused');
  await act('Resume', 'pending');
  await page.getByLabel('Select all rows of this page').check();
  await page.getByRole('toolbar').getByRole('button', { name: 'Cancel', exact: true }).click();
  await dialog(page).getByRole('button', { name: 'Keep as it is' }).click();
  check((await status('select-0')) === 'pending', 'it was canceled although the answer was no');
  await press(page, 'Clear the selection');
  await act('Cancel', 'canceled', true);
  await act('Retry', 'pending');
  await act('Cancel', 'canceled', true);
  await act('Delete', 'gone', true);
  await page.getByText('No task matches this filter.').waitFor();
  await done();
}

// A job over a filter runs on the server, is shown after a reload, and can be stopped.
export async function actOnWholeFilter() {
  for (let i = 0; i < 3; i++) await submit(waiting('bulk' + i, 1000), 'bulk');
  const { page, done } = await open('/tasks?client=bulk');
  await row(page, 'bulk2-999.bin').waitFor();
  const job = page.getByRole('region', { name: 'Job over a filter' });
  const all = async (verb, sure) => {
    await page.getByText('All that match…').click();
    await page.getByRole('button', { name: verb + ' all' }).click();
    if (!sure) return;
    await dialog(page).getByText('client bulk').waitFor();
    await dialog(page).getByRole('button', { name: verb + ' every matching task' }).click();
  };
  const ended = async (verb, text) => {
    await job.filter({ hasText: verb + ': client bulk' }).filter({ hasText: text }).waitFor();
    await job.getByRole('button', { name: 'Dismiss' }).click();
    await job.waitFor({ state: 'detached' });
  };
  await all('Pause');
  await job.waitFor();
  check((await page.evaluate(() => JSON.parse(localStorage.getItem('aria.bulk')).matched)) === 3000, 'the number of matching tasks is not known');
  await page.reload();
  await ended('Pause', 'finished: 3,000 done');
  await all('Resume');
  await ended('Resume', 'finished: 3,000 done');
  // The page hears nothing of the job until Stop is pressed; the job may have ended by then.
  let release;
  const pressed = new Promise((done) => { release = done; });
  await page.route('**/bulk/*', async (route) => {
    if (route.request().method() === 'GET') await pressed;
    await route.continue();
  });
  await all('Cancel', true);
  await job.getByRole('button', { name: 'Stop' }).click();
  release();
  await ended('Cancel', /stopped|finished/);
  await all('Cancel', true); // what a stop has left
  await ended('Cancel', 'finished');
  await all('Retry');
  await ended('Retry', 'finished: 3,000 done');
  await all('Cancel', true);
  await ended('Cancel', 'finished: 3,000 done');
  await all('Delete', true);
  await ended('Delete', 'finished: 3,000 done');
  await page.getByText('No task matches this filter.').waitFor();
  await done();
}

// The page of a task: progress, speed line, attempts, files, JSON, priority, actions.
export async function taskPage() {
  await submit([{ id: 'page-1', url: files + '/slow/page-1.bin', labels: { kind: 'slow' } }], 'page');
  const { page, done } = await open('/task/page-1');
  await page.locator('.task-state', { hasText: 'downloading' }).waitFor();
  const plot = page.locator('figure', { hasText: 'Speed' });
  await plot.waitFor();
  await plot.locator('canvas').waitFor();
  await plot.filter({ hasText: /mean .*highest/ }).waitFor();
  await page.locator('.timeline', { hasText: 'Attempt 1: downloading' }).waitFor();
  await page.getByLabel('Priority').selectOption('urgent');
  await eventually('the priority is changed', async () => (await task('page-1')).priority === 'urgent');
  await press(page, 'Pause');
  await page.locator('.task-state', { hasText: 'paused' }).waitFor();
  await copies(page, 'Copy as aria command', 'aria resume page-1 --client page');
  await press(page, 'Resume');
  await page.locator('.task-state', { hasText: 'downloading' }).waitFor();
  await press(page, 'Cancel');
  await dialog(page).getByText('page-1.bin').waitFor();
  await dialog(page).getByRole('button', { name: 'Cancel this task' }).click();
  await page.locator('.task-state', { hasText: 'canceled' }).waitFor();
  await page.locator('.timeline', { hasText: 'Attempt 1: paused' }).waitFor();
  await page.locator('.timeline', { hasText: 'Attempt 2: canceled' }).waitFor();
  await page.getByText('JSON', { exact: true }).click();
  const raw = JSON.parse(await page.getByLabel('The task as JSON').textContent());
  await copies(page, 'Copy', (text) => JSON.parse(text).id === 'page-1');
  check(raw.id === 'page-1' && raw.status === 'canceled', 'the JSON is of ' + raw.id + ' ' + raw.status);
  await press(page, 'Delete');
  await dialog(page).getByRole('button', { name: 'Delete this task' }).click();
  await page.getByRole('heading', { name: 'Tasks', level: 1 }).waitFor();
  await done();
}

// A finished task lists its files, a failed one its error and attempts.
export async function taskOutcomes() {
  await submit([{ id: 'done-1', url: files + '/file/done-1.bin' }, { id: 'gone-1', url: files + '/missing/gone-1.bin' }]);
  const { page, done } = await open('/task/done-1', { wanted: ['404'] });
  await page.locator('.panel', { hasText: 'Files' }).getByText('done-1/').first().waitFor();
  await go(page, '/task/gone-1');
  await page.locator('.task-state', { hasText: 'failed' }).waitFor();
  await page.locator('.notice.bad', { hasText: '404' }).waitFor();
  await page.locator('.timeline li', { hasText: 'Attempt 1: permanent' }).getByText('404').waitFor();
  await press(page, 'Retry');
  await page.locator('.timeline li', { hasText: 'Attempt 2: permanent' }).getByText('404').waitFor();
  await page.locator('.timeline li', { hasText: 'Attempt 1: permanent' }).getByText('on node-').waitFor();
  await go(page, '/task/no-such-task');
  await page.getByText('There is no such task.').waitFor();
  await done();
}

// An export has every task of the filter.
export async function exportFilter() {
  await submit(waiting('export', 150), 'exports');
  const { page, done } = await open('/tasks?client=exports');
  await row(page, 'export-149.bin').waitFor();
  await press(page, 'Export');
  await dialog(page).getByLabel('Format').selectOption('csv');
  const [download] = await Promise.all([page.waitForEvent('download'), dialog(page).getByRole('button', { name: 'Export' }).click()]);
  const lines = fs.readFileSync(await download.path(), 'utf8').trim().split('\r\n');
  check(lines.length === 151 && lines[0].startsWith('id,client,status'), `${lines.length} lines, the first is ${lines[0]}`);
  await done();
}

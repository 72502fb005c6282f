// The list of tasks and the page of one.

import fs from 'node:fs';
import { open, go, check, eventually, dialog, press, row, files, api, submit, task, status } from './lib.mjs';

const later = () => new Date(Date.now() + 3600e3).toISOString();
const waiting = (prefix, n, more) => [...Array(n)].map((_, i) => ({ id: `${prefix}-${i}`, url: `${files}/file/${prefix}-${i}.bin`, not_before: later(), ...more }));
const clipboard = (page) => page.evaluate(() => navigator.clipboard.readText());

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
  await press(page, 'Copy as aria command');
  const command = await eventually('the command is copied', () => clipboard(page));
  check(command === 'aria ls --status pending --all-clients --text FILTER-1', 'copied: ' + command);
  await page.goBack();
  await go(page, '/tasks?label=set%3Df');
  await eventually('a label selects three', async () => (await page.locator('#main tbody tr').count()) === 3);
  await page.getByLabel('Part of the URL').fill('no such thing');
  await page.getByText('No task matches this filter.').waitFor();
  await press(page, 'Clear the filter');
  await row(page, 'filter-2.bin').first().waitFor();
  await done();
}

// Cursor pages go forward and back to the first.
export async function pagesByCursor() {
  await submit(waiting('cursor', 150, { labels: { set: 'cursor' } }), 'pages');
  const { page, done } = await open('/tasks?client=pages');
  await row(page, 'cursor-149.bin').waitFor();
  check((await page.locator('#main tbody tr').count()) === 100, 'the first page has not 100 rows');
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
  check((await live.evaluate((el) => el.removed)) === 0, 'rows were removed while a task made progress');
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
      await dialog(page).getByRole('button', { name: `${verb} 3 tasks` }).click();
    }
    await eventually(`${verb}: all are ${want}`, async () => {
      const { tasks } = await api('query/task/list', { client: 'select' });
      return want === 'gone' ? tasks.length === 0 : tasks.every((t) => t.status === want);
    });
    if (want !== 'gone') await eventually('the rows show it', async () => (await row(page, want).count()) === 3);
  };
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
  const all = async (verb) => {
    await page.getByText('All that match…').click();
    await page.getByRole('button', { name: verb + ' all' }).click();
  };
  await all('Pause');
  const job = page.getByRole('region', { name: 'Job over a filter' });
  await job.waitFor();
  await page.reload();
  await job.filter({ hasText: 'Pause: client bulk' }).waitFor();
  await job.filter({ hasText: 'finished: 3,000 done' }).waitFor();
  await job.getByRole('button', { name: 'Dismiss' }).click();
  await job.waitFor({ state: 'detached' });
  await all('Cancel');
  await dialog(page).getByText('client bulk').waitFor();
  await dialog(page).getByRole('button', { name: 'Cancel every matching task' }).click();
  await job.filter({ hasText: 'Cancel: client bulk' }).waitFor();
  const stop = job.getByRole('button', { name: 'Stop' });
  if (await stop.isVisible()) await stop.click({ timeout: 2000 }).catch(() => {}); // it may have finished
  await job.filter({ hasText: /stopped|finished/ }).waitFor();
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
  check(/mean .*highest/.test(await plot.textContent()), 'the plot has no figures in text');
  await page.locator('.timeline', { hasText: 'Attempt 1: downloading' }).waitFor();
  await page.getByLabel('Priority').selectOption('urgent');
  await eventually('the priority is changed', async () => (await task('page-1')).priority === 'urgent');
  await press(page, 'Pause');
  await page.locator('.task-state', { hasText: 'paused' }).waitFor();
  await press(page, 'Copy as aria command');
  const command = await eventually('the command is copied', () => clipboard(page));
  check(command === 'aria resume page-1', 'copied: ' + command);
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

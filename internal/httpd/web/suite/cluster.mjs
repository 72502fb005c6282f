// Overview, workers, hosts, clients, dead letters, events and the configuration.

import { open, go, check, eventually, dialog, press, row, files, api, submit } from './lib.mjs';

const later = () => new Date(Date.now() + 3600e3).toISOString();

// The counts of the overview are those of the status; each plot has its figures in text.
export async function overview() {
  await submit([{ id: 'over-1', url: files + '/file/over-1.bin', not_before: later() }]);
  const { page, done } = await open('/');
  const count = (s) => page.locator('.count-card.s-' + s + ' .count').textContent().then((t) => Number(t.replaceAll(',', '')));
  await eventually('the counts are those of the status', async () => {
    const s = (await api('query/status')).tasks_by_status;
    return (await count('pending')) === s.pending && (await count('completed')) === s.completed && s.pending > 0;
  });
  await page.locator('.panel', { hasText: 'Why tasks wait' }).locator('li').first().waitFor();
  await eventually('each plot has its figures', async () => {
    const texts = await page.locator('figure').allTextContents();
    return texts.length === 4 && texts.every((t) => /mean|no figures yet/.test(t)) && texts.some((t) => t.includes('mean'));
  });
  await page.locator('.connection[data-state=live]').waitFor();
  check(/\d of \d/.test(await page.locator('.stat', { hasText: 'Slots in use' }).textContent()), 'the slots are not shown');
  await page.locator('.count-card.s-pending').click();
  await eventually('the count leads to the filter', () => page.url().endsWith('#/tasks?status=pending'));
  await row(page, 'over-1.bin').waitFor();
  await done();
}

// A worker is drained, resumed and removed; before it is removed, what would move is shown.
export async function workers() {
  await submit([{ id: 'move-1', url: files + '/slow/move-1.bin', tags: { node: 'two' } }], 'move');
  const { page, done } = await open('/workers', { wanted: ['status of 404'] }); // a read of the removed worker may be under way
  await row(page, 'node-one').filter({ hasText: 'online' }).waitFor();
  await press(page, 'Drain node-one');
  await row(page, 'node-one').filter({ hasText: 'draining' }).waitFor();
  await press(page, 'Resume node-one');
  await row(page, 'node-one').filter({ hasText: 'online' }).waitFor();
  await page.locator('.chip', { hasText: 'offline' }).click();
  await page.getByText('No worker has this status.').waitFor();
  await page.locator('.chip', { hasText: 'offline' }).click();
  await page.getByLabel('Name of a worker').fill('node-two');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'node-two' }).waitFor();
  await row(page, 'move-1.bin').filter({ hasText: 'downloading' }).waitFor();
  await press(page, 'Drain');
  await page.locator('.task-state', { hasText: 'draining' }).waitFor();
  await press(page, 'Resume');
  await page.getByRole('button', { name: 'Drain', exact: true }).waitFor();
  await press(page, 'Remove');
  await dialog(page).getByText('1 task would move').waitFor();
  await dialog(page).getByText('move-1.bin').waitFor();
  await dialog(page).getByRole('checkbox').check();
  await dialog(page).getByRole('button', { name: 'Remove the worker' }).click();
  await page.getByRole('heading', { name: 'Workers', level: 1 }).waitFor();
  await api('admin/task/cancel', { id: 'move-1' });
  await eventually('it is back with its next heartbeat', async () => {
    const { workers } = await api('query/worker/list');
    return workers.some((w) => w.id === 'node-two' && w.status === 'online');
  });
  await done();
}

export async function hostsAndClients() {
  await submit([{ id: 'hosts-1', url: files + '/slow/hosts-1.bin' }, { id: 'hosts-2', url: files + '/file/hosts-2.bin', not_before: later() }], 'hosting');
  const { page, done } = await open('/clients');
  await row(page, 'hosting').waitFor();
  await page.getByLabel('Filter by name').fill('hosti');
  await eventually('one client is left', async () => (await page.locator('#main tbody tr').count()) === 1);
  await page.getByRole('link', { name: 'hosting' }).click();
  await row(page, 'hosts-1.bin').waitFor();
  await go(page, '/hosts');
  await row(page, '127.0.0.1').waitFor();
  await api('admin/task/cancel', { ids: ['hosts-1', 'hosts-2'] });
  await done();
}

// Dead letters are shown, submitted again (and refused again) and deleted.
export async function deadLetters() {
  const { page, done } = await open('/dlq');
  await eventually('three are listed', async () => (await page.locator('#main tbody tr').count()) === 3);
  await row(page, 'letters').first().getByRole('button', { name: /^Show/ }).click();
  await dialog(page).getByLabel('The spec as JSON').waitFor();
  await page.keyboard.press('Escape');
  await row(page, 'letters').first().getByRole('button', { name: /^Submit/ }).click();
  await page.getByText('is submitted again').waitFor();
  const before = (await api('admin/dlq/list', {})).dead_letters.length;
  await press(page, 'Read again');
  await row(page, 'letters').first().getByRole('button', { name: /^Delete/ }).click();
  await dialog(page).getByRole('button', { name: 'Delete the dead letter' }).click();
  await page.getByText('is deleted').waitFor();
  await eventually('one less is kept', async () => (await api('admin/dlq/list', {})).dead_letters.length <= before);
  await page.getByLabel('Client').fill('nobody');
  await press(page, 'Filter');
  await page.getByText('This client has no dead letters.').waitFor();
  await done();
}

export async function events() {
  const { page, done } = await open('/events');
  await page.getByText('No event yet.').waitFor();
  await page.locator('.connection[data-state=live]').waitFor();
  await submit([{ id: 'event-1', url: files + '/file/event-1.bin' }], 'eventful');
  await row(page, 'event-1').filter({ hasText: 'completed' }).waitFor();
  await page.getByLabel('Filter the events').fill('eventful');
  await eventually('the others are hidden', async () => (await page.locator('#main tbody tr').allTextContents()).every((t) => t.includes('event-1')));
  await press(page, 'Pause');
  await submit([{ id: 'event-2', url: files + '/file/event-2.bin' }], 'eventful');
  await page.getByText('events came since').waitFor();
  check((await row(page, 'event-2').count()) === 0, 'a row came while the page was paused');
  await press(page, 'Continue');
  await api('admin/task/delete', { ids: ['event-1'] });
  await done();
}

// The configuration has the origin of each key.
export async function configuration() {
  const { page, done } = await open('/system');
  const key = row(page, 'http.listen');
  await key.first().waitFor();
  check((await key.first().textContent()).includes('127.0.0.1'), 'http.listen has no value');
  check(!(await key.first().textContent()).includes('default'), 'http.listen is set by the suite, not by default');
  await page.getByLabel('Filter the configuration').fill('nats.prefix');
  await eventually('one key is left', async () => (await page.locator('#main tbody tr').count()) === 1);
  await row(page, 'aria.v1').filter({ hasText: 'default' }).waitFor();
  await done();
}

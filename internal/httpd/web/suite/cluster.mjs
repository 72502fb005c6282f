// Overview, workers, hosts, clients, dead letters, events and the configuration.

import { open, go, check, copies, says, eventually, dialog, press, row, files, api, submit } from './lib.mjs';

const later = () => new Date(Date.now() + 3600e3).toISOString();

// The counts of the overview are those of the status; each plot has its figures in text.
export async function overview() {
  await submit([{ id: 'over-1', url: files + '/file/over-1.bin', not_before: later() }, { id: 'over-2', url: files + '/file/over-2.bin', tags: { node: 'none' } }]);
  const { page, done } = await open('/');
  const count = (s) => page.locator('.count-card.s-' + s).getAttribute('title').then((t) => Number(t.replace(/[, a-z]/g, '')));
  await eventually('the counts are those of the status', async () => {
    const s = (await api('query/status')).tasks_by_status;
    return (await count('pending')) === s.pending && (await count('completed')) === s.completed && s.pending > 0;
  });
  await page.locator('.panel', { hasText: 'Why tasks wait' }).locator('li').first().waitFor();
  await eventually('each plot has its figures', async () => {
    const texts = await page.locator('figure').allTextContents();
    return texts.length === 4 && texts.every((t) => /mean|no figures yet/.test(t)) && texts.some((t) => t.includes('mean'));
  });
  const oldest = page.locator('.stat', { hasText: 'Oldest waiting' });
  await eventually('the oldest waiting task is that of the status', async () => {
    const seconds = Math.max(...Object.values((await api('query/status')).oldest_waiting));
    const [, n, unit] = /([\d.]+) (s|min|ms)/.exec(await oldest.textContent()) ?? [];
    return Math.abs(n * { ms: 0.001, s: 1, min: 60 }[unit] - seconds) < (unit === 'min' ? 60 : 5);
  });
  check((await oldest.getAttribute('href')) === '#/tasks?status=pending&order=created_at', 'the oldest waiting task is not linked');
  await page.locator('.connection[data-state=live]').waitFor();
  check(/\d of \d/.test(await page.locator('.stat', { hasText: 'Slots in use' }).textContent()), 'the slots are not shown');
  await page.locator('.count-card.s-pending').click();
  await eventually('the count leads to the filter', () => page.url().endsWith('#/tasks?status=pending'));
  await row(page, 'over-1.bin').waitFor();
  await api('admin/task/cancel', { ids: ['over-1', 'over-2'] });
  await done();
}

// The axis of a plot that has one figure yet shows the time of that figure.
export async function plotOfOneSample() {
  const { page, done } = await open('/', {
    async prepare(context) {
      await context.addInitScript(() => {
        window.drawn = new Set();
        const draw = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
          window.drawn.add(text);
          return draw.call(this, text, ...rest);
        };
      });
      await context.route('**/query/series', async (route) => {
        const answer = await (await route.fetch()).json();
        for (const list of Object.values(answer)) if (Array.isArray(list)) list.splice(0, list.length - 1);
        await route.fulfill({ json: answer });
      });
    },
  });
  const labels = await eventually('the axes are drawn', () => page.evaluate(() => {
    const times = [...window.drawn].filter((text) => /^\d\d:\d\d(:\d\d)?$/.test(text));
    return times.length > 0 && times;
  }));
  const near = await page.evaluate(() => [-3, -2, -1, 0].map((minutes) => new Date(Date.now() + minutes * 60000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })));
  check(labels.every((l) => near.includes(l.slice(0, 5))), `the axis has ${labels}, now is ${near.at(-1)}`);
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
  await press(page, 'Remove node-one');
  await dialog(page).getByRole('button', { name: 'Keep as it is' }).click();
  await page.getByLabel('Name of a worker').fill('node-two');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'node-two' }).waitFor();
  await row(page, 'move-1.bin').filter({ hasText: 'downloading' }).waitFor();
  await copies(page, 'Copy as aria command', 'aria drain node-two');
  await press(page, 'Drain');
  await page.locator('.task-state', { hasText: 'draining' }).waitFor();
  await press(page, 'Resume');
  await page.getByRole('button', { name: 'Drain', exact: true }).waitFor();
  await press(page, 'Remove');
  await dialog(page).getByText(/\d tasks? would move/).waitFor(); // other scenarios have some
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
  await submit([{ id: 'hosts-1', url: files + '/slow/hosts-1.bin' }, { id: 'hosts-2', url: files + '/file/hosts-2.bin', not_before: later() }, { id: 'hosts-3', url: files + '/missing/hosts-3.bin' }], 'hosting');
  const { page, done } = await open('/clients');
  await row(page, 'hosting').waitFor();
  const sorts = async (...heads) => {
    for (const head of heads) {
      const th = page.locator('th').filter({ hasText: new RegExp(`^${head}$`) });
      const before = await th.getAttribute('aria-sort');
      await th.getByRole('button').click();
      await eventually(head + ' sorts', async () => ![before, null].includes(await th.getAttribute('aria-sort')));
    }
  };
  await sorts('Client', 'Waiting or paused', 'With a worker');
  await page.getByLabel('Filter by name').fill('hosti');
  await eventually('one client is left', async () => (await page.locator('#main tbody tr').count()) === 1);
  await page.getByRole('link', { name: 'hosting' }).click();
  await row(page, 'hosts-1.bin').waitFor();
  await go(page, '/hosts');
  await row(page, '127.0.0.1').waitFor();
  await sorts('Host', 'Waiting', 'Running', 'Limit', 'Failed, last hour', 'State');
  await page.getByLabel('Filter by name').fill('127.0');
  await row(page, '127.0.0.1').waitFor();
  await api('admin/task/cancel', { ids: ['hosts-1', 'hosts-2'] });
  await done();
}

// A dead letter is shown with its message, is submitted again (and refused again, so that
// it has another number then), and is deleted.
export async function deadLetters() {
  const list = async () => (await api('admin/dlq/list', { client: 'letters' })).dead_letters;
  const before = await eventually('three are kept', async () => {
    const all = await list();
    return all.length === 3 && all;
  });
  const { page, done } = await open('/dlq?client=letters');
  const rows = page.locator('#main tbody tr');
  await eventually('three are listed', async () => (await rows.count()) === 3);
  const [shown, deleted] = before;
  await press(page, 'Show ' + shown.seq);
  const spec = JSON.parse(await dialog(page).getByLabel('The spec as JSON').textContent());
  check(/^letter-\d$/.test(spec.id) && spec.url.startsWith('gopher://<b>old</b>.example/'), 'the message is shown as ' + JSON.stringify(spec));
  check((await dialog(page).textContent()).includes(shown.reason), 'the dialog does not say why');
  await dialog(page).getByRole('button', { name: 'Copy', exact: true }).click();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: String(deleted.seq), exact: true }).click();
  await dialog(page).getByRole('heading', { name: 'Dead letter ' + deleted.seq }).waitFor();
  await page.keyboard.press('Escape');
  await says(page, `The dead letter ${shown.seq} is submitted again.`, () => press(page, `Submit ${shown.seq} again`));
  await eventually('it is refused again', async () => {
    const now = await list();
    return now.length === 3 && !now.some((m) => m.seq === shown.seq) && now.some((m) => before.every((b) => m.seq > b.seq));
  });
  await press(page, 'Read again');
  await page.getByRole('button', { name: 'Show ' + shown.seq, exact: true }).waitFor({ state: 'detached' });
  await press(page, 'Delete ' + deleted.seq);
  await dialog(page).getByText(`${deleted.seq} of letters`).waitFor();
  await dialog(page).getByRole('button', { name: 'Keep as it is' }).click();
  check((await list()).some((m) => m.seq === deleted.seq), 'it is deleted although the answer was no');
  await press(page, 'Delete ' + deleted.seq);
  await says(page, `The dead letter ${deleted.seq} is deleted.`, () => dialog(page).getByRole('button', { name: 'Delete the dead letter' }).click());
  await eventually('two rows are left', async () => (await rows.count()) === 2);
  check((await list()).length === 2 && (await list()).every((m) => m.seq !== deleted.seq), 'another one is deleted');
  await page.getByLabel('Client').fill('nobody');
  await press(page, 'Filter');
  await page.getByText('This client has no dead letters.').waitFor();
  await done();
}

export async function events() {
  const { page, done } = await open('/events');
  await page.locator('.connection[data-state=live]').waitFor();
  await submit([{ id: 'event-0', url: files + '/file/event-0.bin', not_before: later() }], 'other');
  await row(page, 'event-0').waitFor();
  await page.getByLabel('Filter the events').fill('eventful');
  await page.getByText('No event yet.').waitFor();
  await submit([{ id: 'event-1', url: files + '/file/event-1.bin' }], 'eventful');
  await row(page, 'event-1').filter({ hasText: 'completed' }).waitFor();
  await eventually('the others are hidden', async () => (await page.locator('#main tbody tr').allTextContents()).every((t) => t.includes('event-1')));
  await press(page, 'Pause');
  await submit([{ id: 'event-2', url: files + '/file/event-2.bin' }], 'eventful');
  await page.getByText('events came since').waitFor();
  check((await row(page, 'event-2').count()) === 0, 'a row came while the page was paused');
  await press(page, 'Continue');
  await page.locator('.chip', { hasText: 'task' }).click();
  await eventually('events of tasks are hidden', async () => (await row(page, 'event-1').count()) === 0);
  await page.locator('.chip', { hasText: 'task' }).click();
  await row(page, 'event-1').first().waitFor();
  await press(page, 'Clear');
  await eventually('the list is empty', async () => (await row(page, 'event-1').count()) === 0);
  await api('admin/task/delete', { ids: ['event-1'] });
  await api('admin/task/cancel', { ids: ['event-0'] });
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

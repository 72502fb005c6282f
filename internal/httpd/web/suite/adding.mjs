// Adding downloads: by URL, by list, by dropped file.

import { open, go, check, copies, eventually, dialog, press, row, files, api, status } from './lib.mjs';

export async function addOneURL() {
  const { page, done } = await open('/tasks');
  await press(page, 'Add downloads');
  await dialog(page).getByLabel('URLs, one a line').fill(files + '/file/added-one.bin');
  await dialog(page).getByText('More', { exact: true }).click();
  await dialog(page).getByLabel('Labels').fill('project=suite');
  await dialog(page).getByRole('button', { name: 'Add', exact: true }).click();
  await dialog(page).waitFor({ state: 'detached' });
  await row(page, 'added-one.bin').filter({ hasText: 'completed' }).waitFor();
  const show = page.getByRole('link', { name: 'Show it' });
  await show.click();
  await page.getByRole('heading', { name: /added-one/ }).waitFor();
  check((await show.count()) === 0, 'a message stays although its action was used');
  await page.getByText('project=suite').first().waitFor();
  await done();
}

// A message with an action stays, however long it is not used. Another one ends, but not
// while the pointer or the focus is in it.
export async function messagesStay() {
  const { page, done } = await open('/tasks', { prepare: (context) => context.clock.install() });
  const message = (text) => page.locator('.toast', { hasText: text });
  const later = () => page.clock.runFor(60_000);
  await page.keyboard.press('a');
  await dialog(page).getByLabel('URLs, one a line').fill(files + '/file/message.bin');
  await dialog(page).getByRole('button', { name: 'Add', exact: true }).click();
  await message('One download is added').waitFor();
  for (const [what, stay, leave] of [
    ['the pointer', (m) => m.hover(), () => page.mouse.move(0, 0)],
    ['the focus', (m) => m.getByRole('button', { name: 'Dismiss' }).focus(), () => page.locator('#main').focus()],
  ]) {
    await copies(page, 'Copy as aria command', 'aria ls --all-clients');
    await stay(message('Copied'));
    await later();
    check((await message('Copied').count()) === 1, `a message ends that has ${what}`);
    await leave();
    await later();
    await message('Copied').waitFor({ state: 'detached' });
  }
  await go(page, '/workers');
  await message('One download is added').getByRole('button', { name: 'Dismiss' }).click();
  await message('One download is added').waitFor({ state: 'detached' });
  await done();
}

// Every field of the dialog is in the task.
export async function addWithEveryField() {
  const { page, done } = await open('/tasks');
  await press(page, 'Add downloads');
  const d = dialog(page);
  await d.getByText('More', { exact: true }).click();
  for (const [label, value] of [['URLs, one a line', files + '/file/fields.bin'], ['Client', 'fields'], ['Folder', 'films'], ['File name', 'named.bin'],
    ['Labels', 'project=suite, part=2'], ['Tags that the worker must have', 'location=eu'], ['Not before', '2090-01-02T03:04'], ['Attempts at most', '7'],
    ['Checksum', 'sha-256=' + 'ab'.repeat(32)]]) await d.getByLabel(label).fill(value);
  await d.getByRole('button', { name: 'Add', exact: true }).click();
  await d.waitFor({ state: 'detached' });
  const { tasks: [t] } = await api('query/task/list', { client: 'fields' });
  const got = JSON.stringify([t.url, t.client, t.folder, t.options.out, t.labels, t.tags, t.not_before, t.max_attempts, t.checksum]);
  const want = JSON.stringify([files + '/file/fields.bin', 'fields', 'films', 'named.bin', { part: '2', project: 'suite' }, { location: 'eu' },
    new Date(await page.evaluate(() => new Date('2090-01-02T03:04').getTime())).toISOString(), 7, 'sha-256=' + 'ab'.repeat(32)]);
  check(got === want, `the task has ${got}, want ${want}`);
  await api('admin/task/cancel', { id: t.id });
  await done();
}

// A submit whose answer is lost and that is repeated adds each download once.
export async function addAgainAfterLostAnswer() {
  const { page, done } = await open('/tasks', { wanted: ['ERR_FAILED'] });
  let lost = 0;
  await page.route('**/api/v1/task/submit*', async (route) => {
    if (lost++) return route.continue();
    await route.fetch();
    return route.abort();
  });
  await press(page, 'Add downloads');
  const d = dialog(page);
  await d.getByLabel('URLs, one a line').fill(`${files}/file/lost-1.bin\n${files}/file/lost-2.bin\n${files}/file/lost-2.bin\n`);
  await d.getByLabel('Client').fill('lost');
  const add = d.getByRole('button', { name: 'Add', exact: true });
  await add.click();
  await d.getByRole('alert').filter({ hasText: 'cannot be reached' }).waitFor();
  await add.click();
  await d.waitFor({ state: 'detached' });
  const { tasks } = await api('query/task/list', { client: 'lost' });
  check(tasks.length === 3, `${tasks.length} tasks were added, want 3`);
  await done();
}

// A bad line is refused by name; it stays in the form, and the good ones are added.
export async function addListWithBadLine() {
  const { page, done } = await open('/');
  await page.keyboard.press('a');
  const d = dialog(page);
  await d.getByLabel('URLs, one a line').fill(`# a comment\n${files}/file/listed-1.bin\ngopher://old.example/x\n${files}/file/listed-2.bin\n`);
  await d.getByLabel('Client').fill('lists');
  await d.getByLabel('Priority').selectOption('high');
  await d.getByRole('button', { name: 'Add', exact: true }).click();
  await d.getByRole('alert').filter({ hasText: 'gopher' }).waitFor();
  check((await d.getByLabel('URLs, one a line').inputValue()).trim() === 'gopher://old.example/x', 'the refused line does not stay in the form');
  await d.getByRole('button', { name: 'Close' }).first().click();
  const added = await eventually('both are completed', async () => {
    const { tasks } = await api('query/task/list', { client: 'lists' });
    return tasks.length === 2 && tasks.every((t) => t.status === 'completed') && tasks;
  });
  check(added.every((t) => t.priority === 'high'), 'the priority is ' + added[0].priority);
  await done();
}

async function drop(page, list) {
  const transfer = await page.evaluateHandle((all) => {
    const t = new DataTransfer();
    for (const [name, text] of all) t.items.add(new File([text], name));
    return t;
  }, list);
  for (const type of ['dragenter', 'dragover', 'drop']) await page.dispatchEvent('body', type, { dataTransfer: transfer });
}

export async function addDroppedFiles() {
  const { page, done } = await open('/');
  await eventually('files are accepted', () => page.locator('.drop').count());
  const torrent = 'd4:infod6:lengthi9e4:name11:dropped.bin12:piece lengthi16384e6:pieces20:' + 'x'.repeat(20) + 'ee';
  const metalink = `<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="dropped.txt"><url>${files}/file/dropped.txt</url></file></metalink>`;
  await drop(page, [['a<b>.torrent', torrent], ['list.txt', files + '/file/dropped-list.bin\n'], ['note.pdf', 'x']]);
  const d = dialog(page);
  await d.getByText('note.pdf is neither').waitFor();
  await d.getByText('a<b>.torrent').first().waitFor();
  await drop(page, [['b.metalink', metalink]]);
  await d.getByText('b.metalink').first().waitFor();
  await d.getByLabel('Torrent, metalink or list of URLs').setInputFiles({ name: 'c.torrent', mimeType: 'application/x-bittorrent', buffer: Buffer.from(torrent) });
  await d.getByRole('button', { name: 'Leave out c.torrent' }).click();
  await d.getByLabel('Client').fill('drops');
  await d.getByRole('button', { name: 'Add', exact: true }).click();
  await d.waitFor({ state: 'detached' });
  const { tasks } = await api('query/task/list', { client: 'drops' });
  check(tasks.length === 3, `${tasks.length} tasks were added, want 3`);
  const listed = tasks.find((t) => t.url);
  await eventually('the listed one is completed', async () => (await status(listed.id)) === 'completed');
  await done();
}

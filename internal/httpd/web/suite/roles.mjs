// Users and roles, over TLS and behind a proxy that logs in and serves the page below a path.

import { open, newPage, go, check, eventually, dialog, press, row, files, tls, proxy } from './lib.mjs';

// as sends a request from the page, with the login of its user.
const as = (page, path, body) => page.evaluate(async ([path, body]) => {
  const response = await fetch('api/v1/' + path, { method: 'POST', body: JSON.stringify(body) });
  return { status: response.status, answer: await response.json() };
}, [path, body]);

// An operator does everything behind nginx: the page, its events, requests and links stay
// below the path of the proxy.
export async function operatorBehindProxy() {
  const { page, done } = await open('/', { at: proxy, user: 'olga' });
  await page.locator('.connection[data-state=live]').waitFor();
  await page.locator('#main').getByRole('button', { name: 'Add downloads' }).click();
  await dialog(page).getByLabel('URLs, one a line').fill(files + '/file/proxied.bin');
  await dialog(page).getByRole('button', { name: 'Add', exact: true }).click();
  await go(page, '/tasks');
  await row(page, 'proxied.bin').filter({ hasText: 'completed' }).waitFor();
  await page.reload();
  await row(page, 'proxied.bin').waitFor();
  for (const [hash, first, last] of [['/workers', 'idle-000', 'node-three'], ['/dlq', 'many', 'many']]) {
    await go(page, hash);
    await row(page, first).first().waitFor();
    await eventually(hash + ' has 100 rows', async () => (await page.locator('#main tbody tr').count()) === 100);
    await press(page, 'Next page');
    await page.getByText(/^Page 2,/).waitFor();
    await row(page, last).first().waitFor();
    await press(page, 'First page');
    await page.getByText('Page 1, 100 rows').waitFor();
  }
  await go(page, '/worker/node-three');
  await press(page, 'Drain');
  await page.locator('.task-state', { hasText: 'draining' }).waitFor();
  await press(page, 'Resume');
  await page.locator('.task-state', { hasText: 'online' }).waitFor();
  await go(page, '/system');
  await row(page, 'http.base_path').filter({ hasText: '/aria' }).waitFor();
  const outside = await page.evaluate(() => performance.getEntriesByType('resource').map((e) => new URL(e.name)).filter((u) => u.origin !== location.origin || !u.pathname.startsWith('/aria/')).map(String));
  check(outside.length === 0, 'requests outside the path of the proxy: ' + outside);
  await done();
}

// An observer reads every page; each action is refused by the server, and says why.
export async function observerActsOnNothing() {
  const operator = await open('/events', { at: tls, user: 'olga' });
  await as(operator.page, 'task/submit?client=watched', { tasks: [{ id: 'watched-1', url: files + '/file/watched-1.bin', not_before: new Date(Date.now() + 3600e3).toISOString() }] });
  const { page, done } = await open('/tasks', { at: proxy, user: 'otto', wanted: ['status of 403'] });
  const refused = async (what) => {
    const alert = page.getByRole('alert').filter({ hasText: 'the role observer may not do this' });
    await alert.first().waitFor().catch((e) => { throw new Error(what + ' is not refused: ' + e.message); });
    for (const close of await page.locator('.toast').getByRole('button', { name: 'Dismiss' }).all()) await close.click();
  };
  await row(page, 'watched-1.bin').getByRole('checkbox').check();
  for (const verb of ['Pause', 'Cancel']) {
    await page.getByRole('toolbar').getByRole('button', { name: verb, exact: true }).click();
    if (verb === 'Cancel') await dialog(page).getByRole('button', { name: 'Cancel 1 task' }).click();
    await refused(verb);
  }
  await press(page, 'Clear the selection');
  await page.getByText('All tasks…').click();
  await page.getByRole('button', { name: 'Pause all' }).click();
  await refused('a bulk job');
  await press(page, 'Add downloads');
  await dialog(page).getByLabel('URLs, one a line').fill(files + '/file/not-added.bin');
  await dialog(page).getByRole('button', { name: 'Add', exact: true }).click();
  await dialog(page).getByRole('alert').filter({ hasText: 'the role observer may not do this' }).waitFor();
  await page.keyboard.press('Escape');
  await go(page, '/task/watched-1');
  await page.getByLabel('Priority').selectOption('urgent');
  await refused('another priority');
  await press(page, 'Pause');
  await refused('a pause');
  await go(page, '/worker/node-three');
  await press(page, 'Drain');
  await refused('draining');
  await press(page, 'Remove');
  await dialog(page).getByRole('checkbox').check();
  await dialog(page).getByRole('button', { name: 'Remove the worker' }).click();
  await refused('removing');
  for (const hash of ['/dlq', '/system']) {
    await go(page, hash);
    await page.getByRole('alert').filter({ hasText: 'the role observer may not do this' }).waitFor();
  }
  for (const [hash, text] of [['/', 'Why tasks wait'], ['/hosts', 'Hosts'], ['/clients', 'watched'], ['/events', 'Events']]) {
    await go(page, hash);
    await page.locator('#main').getByText(text).first().waitFor();
  }
  await page.locator('.connection[data-state=live]').waitFor();
  const { answer } = await as(operator.page, 'query/task/list', { client: 'watched' });
  check(answer.tasks.length === 1 && answer.tasks[0].status === 'pending' && ['normal', 2].includes(answer.tasks[0].priority), 'the task is ' + JSON.stringify(answer.tasks));
  const { answer: worker } = await as(operator.page, 'query/worker/get', { id: 'node-three' });
  check(worker.status === 'online' && !worker.drained, 'the worker is ' + JSON.stringify(worker));
  await operator.done();
  await done();
}

// A client sees and changes its own tasks only, over TLS without a proxy.
export async function clientSeesItsOwn() {
  const operator = await open('/events', { at: tls, user: 'olga' });
  const waiting = (id) => ({ id, url: `${files}/file/${id}.bin`, not_before: new Date(Date.now() + 3600e3).toISOString() });
  for (const [client, id] of [['bank', 'of-bank'], ['shop', 'of-shop']]) await as(operator.page, 'task/submit?client=' + client, { tasks: [waiting(id)] });
  const { page, done } = await open('/', { at: tls, user: 'shop', wanted: ['status of 403', 'status of 404'] });
  await row(page, 'of-shop.bin').waitFor();
  await eventually('the pages are those of a client', async () => (await page.locator('#nav a').allTextContents()).join() === 'Tasks,Events');
  await page.locator('.connection[data-state=live]').waitFor();
  check((await row(page, 'of-bank.bin').count()) === 0, 'a task of another client is listed');
  await go(page, '/task/of-bank');
  await page.getByText('There is no such task.').waitFor();
  await go(page, '/workers');
  await page.getByRole('alert').filter({ hasText: 'the role client may not do this' }).waitFor();
  await Promise.all([page.waitForResponse(/api\/v1\/events/), go(page, '/events')]); // the stream of this page is open
  await page.getByText('No event yet.').waitFor();
  await as(operator.page, 'admin/task/cancel', { ids: ['of-bank', 'of-shop'] });
  await row(page, 'of-shop').filter({ hasText: 'canceled' }).waitFor();
  check((await row(page, 'of-bank').count()) === 0, 'an event of another client is shown');
  await go(page, '/tasks');
  await page.getByText('All tasks…').click();
  await page.getByRole('button', { name: 'Retry all' }).click();
  await page.getByRole('region', { name: 'Job over a filter' }).filter({ hasText: 'finished: 1 done' }).waitFor();
  await press(page, 'Add downloads');
  check((await dialog(page).getByLabel('Client').count()) === 0, 'a client may name another one');
  await dialog(page).getByLabel('URLs, one a line').fill(files + '/file/added-by-shop.bin');
  await dialog(page).getByRole('button', { name: 'Add', exact: true }).click();
  await row(page, 'added-by-shop.bin').filter({ hasText: 'completed' }).waitFor();
  const { answer } = await as(operator.page, 'query/task/get', { id: 'of-bank' });
  check(answer.status === 'canceled', 'the task of another client is ' + answer.status);
  await operator.done();
  await done();
}

// Who is not logged in gets nothing of the page, and a wrong password neither.
export async function strangerIsRefused() {
  for (const at of [tls, proxy]) {
    const user = 'nobody';
    const page = await newPage({ user });
    const answer = await page.goto(at);
    check(answer.status() === 401 && !(await page.content()).includes('<main'), `${at} for ${user}: ${answer.status()}`);
    await page.context().close();
  }
}

// Text from outside is text: names, URLs, errors and host names with markup, marks that
// reverse the direction, and 2,000 characters. And what happens without a dispatcher.

import { open, go, check, eventually, row, files, submit, status } from './lib.mjs';

const markup = '<img src=x onerror=alert(1)><script>alert(2)</script>';
const long = 'L'.repeat(2000);

export async function hostileTexts() {
  const path = encodeURIComponent(markup + '\u202Efdp.exe');
  await submit([
    { id: 'hostile-url', url: `${files}/missing/${path}`, labels: { [markup]: '"><svg onload=alert(3)>', rtl: '\u202Egnp.exe\u2066' } },
    { id: 'hostile-long', url: `${files}/missing/${long}`, labels: { long: 'l'.repeat(256) } },
    { id: 'hostile-error', url: 'ftp://hostile.example/file.bin' },
  ], 'hostile');
  await eventually('all have failed', async () => (await Promise.all(['hostile-url', 'hostile-long', 'hostile-error'].map(status))).every((s) => s === 'failed'));
  const { page, done } = await open('/tasks?client=hostile', { wanted: ['status of 400'] });
  const clean = async (where) => {
    const found = await page.evaluate(() => [...document.querySelectorAll('#main img, #main script, #main svg[onload], #main [onerror], #main iframe')].map((e) => e.outerHTML));
    check(found.length === 0, where + ' made an element of text: ' + found);
    const marks = await page.evaluate(() => /[\u202a-\u202e\u2066-\u2069]/.test(document.getElementById('main').textContent));
    check(!marks, where + ' has a mark of direction in its text');
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    check(over <= 0, `${where} is ${over} px too wide`);
  };
  const named = row(page, '‹U+202E›fdp.exe');
  await named.waitFor();
  check((await named.textContent()).includes(markup), 'the markup is not shown as text');
  await clean('the list');
  await go(page, '/task/hostile-url');
  await page.getByRole('heading', { name: markup }).waitFor();
  await page.getByText('"><svg onload=alert(3)>').first().waitFor();
  await clean('the task');
  await go(page, '/task/hostile-long');
  await page.locator('h1', { hasText: 'LLLL' }).waitFor();
  await clean('the long task');
  await go(page, '/task/hostile-error');
  await page.locator('.notice.bad', { hasText: markup }).waitFor();
  await clean('the error');
  await go(page, '/workers');
  await row(page, '<b onmouseover=alert(4)>host</b>').waitFor();
  await clean('the workers');
  await go(page, '/worker/node-hostile');
  await page.getByText('<b onmouseover=alert(4)>host</b>').first().waitFor();
  await page.getByText('<i onclick=alert(5)>9.8</i>').first().waitFor();
  await row(page, markup).first().waitFor();
  await clean('the worker');
  for (const hash of ['/hosts', '/clients', '/dlq', '/system', '/', '/tasks?text=' + encodeURIComponent(markup), '/task/' + path, '/nothing' + path]) {
    await go(page, hash);
    await clean(hash);
  }
  await done();
}

// Without the dispatcher the page says so, and continues when it is back.
export async function connectionLost() {
  const { page, done } = await open('/tasks', { wanted: ['net::ERR_INTERNET_DISCONNECTED'] });
  await page.locator('.connection[data-state=live]').waitFor();
  await page.context().setOffline(true);
  await page.getByLabel('Part of the URL').fill('x');
  await page.getByRole('alert').filter({ hasText: 'cannot be reached' }).waitFor();
  await page.context().setOffline(false);
  await page.getByLabel('Part of the URL').fill('');
  await page.getByRole('alert').filter({ hasText: 'cannot be reached' }).waitFor({ state: 'hidden' });
  await page.locator('.connection[data-state=live]').waitFor();
  await done();
}

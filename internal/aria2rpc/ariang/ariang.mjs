// Drives AriaNg: node ariang.mjs PAGE HOST PORT SECRET FILES CHROMIUM
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const [page, host, port, secret, files, executablePath] = process.argv.slice(2);
const base64 = (text) => Buffer.from(text).toString('base64url');
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const tab = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
tab.setDefaultTimeout(20000);
const faults = [];
tab.on('pageerror', (e) => faults.push(e.stack));

// noErrorBox fails if AriaNg shows an error.
async function noErrorBox() {
  const box = tab.locator('.sweet-alert.visible, .ui-notification.error, .ui-notification.warning');
  assert.equal(await box.count(), 0, 'an error box: ' + (await box.allInnerTexts()).join(' | '));
}

const open = (path) => tab.goto(page + '#!' + path);
const rows = (text) => tab.locator('.task-table .row', { hasText: text });

// The address of the endpoint with its secret; AriaNg stores them and begins again.
await open(`/settings/rpc/set/http/${host}/${port}/jsonrpc/${base64(secret)}`);
await tab.waitForURL(/downloading|settings\/rpc\/set|#!\/$/);
await tab.getByText('Connected').first().waitFor({ state: 'attached' });

// add by an address, which AriaNg takes from other pages; the list shows the task.
await open('/new/' + base64(`${files}/slow/ang-slow`));
await rows('ang-slow').first().waitFor();
await noErrorBox();

// task detail
const gid = await rows('ang-slow').first().getAttribute('data-gid');
assert.match(gid, /^[0-9a-f]{16}$/);
await open('/task/detail/' + gid);
await tab.getByText('Overview').first().waitFor();
await tab.getByText('ang-slow').first().waitFor();
await noErrorBox();

// pause
await open('/downloading');
await rows('ang-slow').first().click();
await tab.locator('[title^="Pause"], .toolbar .fa-pause').first().click();
await open('/waiting');
await rows('ang-slow').first().waitFor();
await noErrorBox();

// remove, with the confirmation
await rows('ang-slow').first().click();
await tab.locator('[title^="Remove"], [title^="Delete"], .toolbar .fa-trash-o').first().click();
await tab.getByText('Remove Task', { exact: false }).first().click();
await tab.locator('.sweet-alert.visible button.confirm').click();
await rows('ang-slow').first().waitFor({ state: 'detached' });

// a download that completes is among the stopped ones
await open('/new');
await tab.locator('textarea').first().fill(`${files}/fast/ang-fast`);
await tab.getByText('Download Now').first().click();
await tab.waitForURL(/downloading|waiting/);
await open('/stopped');
await rows('ang-fast').first().waitFor();

// the settings of aria2, and its status
for (const path of ['/settings/aria2/basic', '/settings/aria2/http-ftp-sftp', '/settings/aria2/bt', '/settings/ariang', '/status']) {
  await open(path);
  await tab.waitForResponse(/jsonrpc/); // the page has asked; it polls, so the next answer comes too
  await tab.waitForResponse(/jsonrpc/);
  await noErrorBox();
}
await browser.close();
assert.deepEqual(faults, []);

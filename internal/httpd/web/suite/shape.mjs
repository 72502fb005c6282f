// Every page on a phone and a desk, light and dark; the keyboard alone; screenshots.

import path from 'node:path';
import { open, go, check, eventually, dialog, row, files, submit, status, accessible, fits, press } from './lib.mjs';

const later = () => new Date(Date.now() + 3600e3).toISOString();
const pages = ['/', '/tasks', '/task/shape-1', '/workers', '/worker/node-one', '/hosts', '/clients', '/dlq', '/events', '/system'];

const prepare = () => submit([{ id: 'shape-1', url: files + '/file/shape-1.bin', not_before: later(), labels: { project: 'shape' } }, { id: 'shape-2', url: files + '/file/shape-2.bin' }], 'shape');

// walk opens every page and two dialogs, each light and dark.
async function walk(options, what) {
  await prepare();
  const { page, done } = await open('/', options);
  const look = async (where) => {
    await fits(page, where);
    await accessible(page, where);
    await page.emulateMedia({ colorScheme: 'dark' });
    await accessible(page, where + ', dark', colours);
    await page.emulateMedia({ colorScheme: 'light' });
  };
  for (const hash of pages) {
    await go(page, hash);
    await page.locator('#main :is(.panel, table, .empty):visible').first().waitFor();
    await look(what + ' ' + hash);
  }
  await press(page, 'Add downloads');
  await dialog(page).waitFor();
  await look(what + ', adding');
  await page.keyboard.press('Escape');
  await go(page, '/tasks?client=shape');
  await row(page, 'shape-1.bin').getByRole('checkbox').check();
  await page.getByRole('toolbar').getByRole('button', { name: 'Cancel', exact: true }).click();
  await look(what + ', asking');
  await dialog(page).getByRole('button', { name: 'Keep as it is' }).click();
  await done();
}

// A dark page has the elements of the light one: only its colours are looked at again.
const colours = ['color-contrast', 'link-in-text-block'];

export const desk = () => walk({}, 'desk');
export const phone = () => walk({ width: 390, height: 800 }, 'phone');

// The theme that a person chooses holds against that of the system.
export async function themeIsKept() {
  const { page, done } = await open('/', { dark: true });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.getByRole('button', { name: /^Colours: auto/ }).click();
  await eventually('the page is light', async () => (await ground()) !== dark);
  await page.reload();
  await page.getByRole('button', { name: /^Colours: light/ }).waitFor();
  check((await ground()) !== dark, 'the theme is lost by a reload');
  await done();
}

export async function keysAreListed() {
  const { page, done } = await open('/');
  await press(page, 'Keyboard');
  await dialog(page).getByText('Select or clear the row').waitFor();
  await page.keyboard.press('Escape');
  await done();
}

// reach presses a key until the target has the focus.
async function reach(page, key, target) {
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press(key);
    if (await target.evaluate((el) => el === document.activeElement || el.closest('button, summary') === document.activeElement)) return;
  }
  throw new Error(`${key} does not reach ${target}`);
}

// A download is added, found, selected, canceled and opened without a mouse.
export async function keyboardAlone() {
  const { page, done } = await open('/');
  const key = (...keys) => keys.reduce((before, k) => before.then(() => page.keyboard.press(k)), Promise.resolve());
  await key('Tab');
  check((await page.evaluate(() => document.activeElement.className)) === 'skip', 'the first stop is not the link to the content');
  await key('a');
  await dialog(page).waitFor();
  check((await page.evaluate(() => document.activeElement.name)) === 'urls', 'the field for URLs has no focus');
  await page.keyboard.type(files + '/file/keyboard-1.bin');
  await reach(page, 'Tab', dialog(page).getByText('More', { exact: true }));
  await key('Enter');
  await eventually('the further fields are open', () => dialog(page).locator('details[open]').count());
  await reach(page, 'Tab', dialog(page).getByLabel('Tags that the worker must have'));
  await page.keyboard.type('node=none');
  await reach(page, 'Tab', dialog(page).getByRole('button', { name: 'Add', exact: true }));
  await key('Enter');
  await dialog(page).waitFor({ state: 'detached' });
  await key('g', 't');
  await page.getByRole('heading', { name: 'Tasks', level: 1 }).waitFor();
  await key('/');
  await page.keyboard.type('keyboard-1');
  // What was typed first selects the row too, and a filter that changes later clears the selection.
  await page.waitForURL(/text=keyboard-1$/);
  await eventually('one row is left', async () => (await page.locator('#main tbody tr').count()) === 1);
  await key('Escape', 'j', 'x');
  await page.getByText('1 selected').waitFor();
  await reach(page, 'Shift+Tab', page.getByRole('toolbar').getByRole('button', { name: 'Cancel', exact: true }));
  await key('Enter');
  await dialog(page).waitFor();
  await key('Tab', 'Enter'); // from "Keep as it is" to the act
  await row(page, 'keyboard-1.bin').filter({ hasText: 'canceled' }).waitFor();
  await key('j', 'Enter');
  await page.locator('.task-state', { hasText: 'canceled' }).waitFor();
  check((await page.evaluate(() => document.activeElement.tagName)) === 'H1', 'the heading of the new page has no focus');
  await key('?');
  await dialog(page).getByRole('heading', { name: 'Keyboard' }).waitFor();
  await key('Escape');
  await key('g', 'w');
  await page.getByRole('heading', { name: 'Workers', level: 1 }).waitFor();
  await done();
}

// The screenshots of the documents, only where a folder for them is given.
export async function screenshots() {
  const folder = process.env.SUITE_SHOTS;
  await submit([...Array(14)].map((_, i) => ({ id: 'shot-' + i, url: `${files}/${i % 3 ? 'slow' : 'file'}/debian-12.${i}-amd64.iso`, labels: { project: 'debian' }, priority: i % 4 ? 'normal' : 'high', ...(i > 10 ? { not_before: later() } : {}) })), 'mirror');
  await eventually('some are downloaded', async () => (await status('shot-4')) === 'downloading');
  const { page, done } = await open('/', { width: 1120, height: 720 });
  for (const [name, hash] of [['overview', '/'], ['tasks', '/tasks?client=mirror'], ['task', '/task/shot-4'], ['workers', '/workers'], ['events', '/events'], ['system', '/system']]) {
    await go(page, hash);
    await page.locator('#main :is(.panel, table, .empty):visible').first().waitFor();
    if (name === 'events') await submit([...Array(6)].map((_, i) => ({ url: `${files}/${i % 3 ? 'file' : 'missing'}/firmware-${i}.bin` })), 'mirror');
    await page.waitForTimeout(2500);
    await page.screenshot({ path: path.join(folder, `dashboard-${name}.png`), caret: 'initial' });
  }
  await done();
}

// The overview asks for the status once, and opens its stream after the first answers.
export async function streamFollowsFirstAnswers() {
  const steps = [];
  const asked = (r) => /query\/status|events/.exec(r.url())?.[0];
  const note = (what) => (r) => { if (asked(r)) steps.push(what + ' ' + asked(r)); };
  const { done } = await open('/', { prepare: (context) => { context.on('request', note('ask')).on('response', note('answer')); } });
  await eventually('the stream is open', () => steps.includes('answer events'));
  check(steps.slice(0, 3).join(', ') === 'ask query/status, answer query/status, ask events', 'the page asks in the order ' + steps);
  await done();
}

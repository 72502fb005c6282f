// What the scenarios share: pages that are watched for faults, requests, waiting.

import fs from 'node:fs';
import { AsyncLocalStorage } from 'node:async_hooks';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { listen } from './controls.mjs';

const require = createRequire(import.meta.url);
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export const base = process.env.SUITE_BASE;
export const files = process.env.SUITE_FILES;
export const tls = process.env.SUITE_TLS; // the secured dispatcher itself
export const proxy = process.env.SUITE_PROXY; // the same behind nginx
const patience = 60000;

// running has the name of the scenario, used the controls that each scenario has used.
export const running = new AsyncLocalStorage();
export const used = new Map();

let browser;

export async function launch() {
  browser = await chromium.launch({ executablePath: process.env.SUITE_CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage', '--host-resolver-rules=MAP aria.example 127.0.0.1'] });
}

export const end = () => browser?.close();

export function check(holds, what) {
  if (!holds) throw new Error(what);
}

// eventually waits until probe returns a value that is true, and returns it.
export async function eventually(what, probe) {
  const until = Date.now() + patience;
  let last;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      last = value;
    } catch (e) {
      last = e;
    }
    if (Date.now() > until) throw new Error(`after ${patience} ms still not: ${what} (last: ${last?.message ?? JSON.stringify(last)})`);
    await new Promise((next) => setTimeout(next, 50));
  }
}

// api sends a request as a program would.
export async function api(path, body, method = 'POST') {
  const response = await fetch(new URL('api/v1/' + path, base), {
    method, headers: { 'Content-Type': 'application/json' }, body: method === 'POST' ? JSON.stringify(body ?? {}) : undefined,
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}`);
  return answer;
}

// copies presses a button that copies a text, and waits until the text that the page has
// copied is wanted, or until wanted returns true for it. The clipboard itself belongs to
// all pages of the browser.
export async function copies(page, label, wanted) {
  await page.evaluate(() => { window.copied = null; });
  await press(page, label);
  await eventually(`${label}: ${wanted} is copied`, async () => {
    const text = await page.evaluate(() => window.copied);
    if (text !== null && (typeof wanted === 'string' ? text === wanted : wanted(text))) return true;
    throw new Error('copied: ' + text);
  });
}

// says acts, and waits for a message that stays for a short time: the wait begins first.
export const says = (page, text, act) => Promise.all([page.getByText(text).waitFor(), act()]);

export const submit = (specs, client = 'shop') => api('task/submit?client=' + client, { tasks: specs });
export const task = (id) => api('query/task/get', { id });
export const status = (id) => task(id).then((t) => t.status);

// newPage makes an empty page in a context of its own.
export async function newPage({ width = 1280, height = 800, dark = false, user } = {}) {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', permissions: ['clipboard-read', 'clipboard-write'], acceptDownloads: true,
    ...(user && { httpCredentials: { username: user, password: user }, ignoreHTTPSErrors: true }),
  });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  return page;
}

// open opens a page of the dashboard in a context of its own. done closes it, and fails
// if the page reported an error or a violation of the policy. at is another address than
// base, user the name and password of who logs in there.
export async function open(hash, { wanted = [], at = base, prepare, ...options } = {}) {
  const page = await newPage(options);
  const context = page.context();
  const faults = [];
  const add = (text) => { if (!wanted.some((w) => text.includes(w))) faults.push(text); };
  page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') add(`console ${m.type()}: ${m.text()}`); });
  page.on('pageerror', (e) => add('error of the page: ' + e.stack));
  page.on('dialog', (d) => { add('a script opened a dialog: ' + d.message()); d.dismiss(); });
  await context.exposeFunction('reportViolation', (text) => add('policy: ' + text));
  await context.addInitScript(() => addEventListener('securitypolicyviolation', (e) => window.reportViolation(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`)));
  const uses = used.get(running.getStore()) ?? new Set();
  used.set(running.getStore(), uses);
  await context.exposeFunction('reportUse', (control) => { uses.add(control); });
  await context.addInitScript(listen);
  await context.addInitScript(() => {
    if (!navigator.clipboard) return;
    const write = navigator.clipboard.writeText.bind(navigator.clipboard);
    navigator.clipboard.writeText = async (text) => {
      await write(text);
      window.copied = text;
    };
  });
  await prepare?.(context);
  await page.goto(at + '#' + hash);
  await page.locator('#main h1').waitFor();
  return {
    page,
    allow: (text) => wanted.push(text),
    async done() {
      const left = faults.slice();
      await context.close();
      check(left.length === 0, left.join('\n'));
    },
  };
}

// go moves to another page of the dashboard by its address.
export async function go(page, hash) {
  await page.evaluate((h) => { location.hash = h; }, hash);
  const name = /^\/(\w*)/.exec(hash)[1] || 'overview';
  await page.locator(name.startsWith('nothing') ? '#main h1' : `#main .p-${name}`).waitFor();
  await page.locator('#main h1').waitFor();
}

// accessible has axe find no serious and no critical fault, of the rules alone if they are
// given.
export async function accessible(page, what, rules) {
  if (await page.evaluate(() => !window.axe)) await page.evaluate(axe);
  const found = await page.evaluate(async (only) => {
    const { violations } = await window.axe.run(document, { resultTypes: ['violations'], preload: false, iframes: false, ...(only && { runOnly: only }) });
    return violations.filter((v) => ['serious', 'critical'].includes(v.impact))
      .map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + (n.any[0]?.message ?? n.all[0]?.message ?? n.none[0]?.message ?? '')).join(' | ')}`);
  }, rules);
  check(found.length === 0, `${what}: ${found.join('\n')}`);
}

// fits has no page wider than its window.
export async function fits(page, what) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  check(over <= 0, `${what} is ${over} px wider than the window`);
}

export const row = (page, text) => page.locator('#main tbody tr', { hasText: text });
export const dialog = (page) => page.locator('dialog[open]');
export const press = (page, label) => page.getByRole('button', { name: label, exact: true }).click();

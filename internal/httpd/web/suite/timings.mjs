// Measures the dashboard in a cluster of any size, and prints a line of JSON for each
// figure. bench/scale starts it: task bench:pages.

import fs from 'node:fs';
import { launch, end, newPage, base, api } from './lib.mjs';

const runs = Number(process.env.SUITE_RUNS || 9);
const firstView = 300; // ms, the goals
const filtered = 200;
const patience = 30000;

const print = (name, ms, more = {}) => console.log(JSON.stringify({ name, ms, ...more }));

// watch notes in the page when an element that is visible and has the text is on the
// screen, in ms since the navigation began.
const watch = ({ selector, text }) => {
  const look = () => {
    const found = [...document.querySelectorAll(selector)].some((e) => e.checkVisibility() && new RegExp(text ?? '').test(e.textContent));
    if (!found) return requestAnimationFrame(look);
    requestAnimationFrame(() => { window.shownAt = performance.now(); }); // it is painted now
  };
  requestAnimationFrame(look);
};

const rows = { selector: '#main tbody tr' };
const rowsOrNone = { selector: '#main tbody tr, #main .empty' };

const { tasks: [sample] } = await api('query/task/list', { limit: 1 });
const { workers: [worker] } = await api('query/worker/list', { limit: 1 });
const pages = [
  ['Overview: its figures', '/', { selector: '.count-card.s-completed .count', text: '[0-9]' }],
  ['Overview: the plots too', '/', { selector: 'figure:last-child canvas' }],
  ['Tasks', '/tasks', rows],
  ['Task', '/task/' + sample.id, { selector: '.task-state .badge' }],
  ['Workers', '/workers', rows],
  ['Worker', '/worker/' + worker.id, { selector: '.task-state .badge' }],
  ['Hosts', '/hosts', rowsOrNone],
  ['Clients', '/clients', rows],
  ['Dead letters', '/dlq', rowsOrNone],
  ['Events, connected', '/events', { selector: '.connection[data-state=live]' }],
  ['System', '/system', rows],
];

async function measure(page) {
  await page.waitForFunction(() => window.shownAt, null, { polling: 20, timeout: patience });
  return page.evaluate(() => {
    const list = performance.getEntriesByType('resource').filter((e) => e.startTime < window.shownAt);
    return { at: window.shownAt, requests: list.length + 1, bytes: list.reduce((sum, e) => sum + e.transferSize, 0) };
  });
}

// cpu returns the processor time of Chromium in ms: unlike the time on the clock it does
// not depend on what else the machine does. The system counts it in steps of 10 ms.
function cpu() {
  const parents = new Map();
  const times = new Map();
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
      parents.set(pid, fields[1]);
      times.set(pid, (Number(fields[11]) + Number(fields[12])) * 10);
    } catch { /* it has ended */ }
  }
  const isOurs = (pid) => pid === String(process.pid) || (parents.has(pid) && isOurs(parents.get(pid)));
  return [...times].filter(([pid]) => pid !== String(process.pid) && isOurs(pid)).reduce((sum, [, t]) => sum + t, 0);
}

const mean = (list) => list.reduce((sum, x) => sum + x, 0) / list.length;

// firstViews opens each page in a browser that has never been here, then again.
async function firstViews() {
  const cold = pages.map(() => []);
  const warm = pages.map(() => []);
  const loads = [];
  const spent = pages.map(() => []);
  for (let i = 0; i < runs; i++) {
    for (const [n, [, hash, probe]] of pages.entries()) {
      const page = await newPage();
      await page.addInitScript(watch, probe);
      const before = cpu();
      await page.goto(base + '#' + hash);
      loads[n] = await measure(page);
      spent[n].push(cpu() - before);
      cold[n].push(loads[n].at);
      await page.reload();
      warm[n].push((await measure(page)).at);
      await page.context().close();
    }
  }
  pages.forEach(([name], n) => print('first view of ' + name, cold[n], { goal: firstView, ...loads[n], cpu: mean(spent[n]) }));
  pages.forEach(([name], n) => print('again, ' + name, warm[n], { goal: firstView }));
}

const type = (name, value) => `type ${name} ${value}`;
const filters = [
  ['status failed', 'click .chip.s-failed'],
  ['status completed', 'click .chip.s-completed'],
  ['a client', type('client', 'client-7')],
  ['a client, failed', type('client', 'client-7') + '\nclick .chip.s-failed'],
  ['a worker', type('worker', worker.id)],
  ['a label', type('label', 'nowhere=none')],
  ['a text that is nowhere', type('text', 'nowhere')],
  ['a priority', 'choose priority high'],
  ['the oldest first', 'choose order created_at'],
  ['the next page', 'press Next page'],
];

// filter acts as a person does, and returns the time until the first row that was shown
// is gone or the list is empty.
const filter = (script) => new Promise((resolve) => {
  const first = document.querySelector('#main tbody tr');
  const table = first.closest('.table-box');
  const began = performance.now();
  for (const line of script.split('\n')) {
    const [, verb, what, value] = /^(\w+) (\S+) ?(.*)$/.exec(line);
    const field = document.querySelector(`#main [name=${CSS.escape(what)}]`);
    if (verb === 'click') document.querySelector(what + ' input').click();
    else if (verb === 'press') [...document.querySelectorAll('#main button')].find((b) => b.textContent === `${what} ${value}`).click();
    else {
      field.value = value;
      field.dispatchEvent(new Event('input', { bubbles: true }));
    }
  }
  const look = () => {
    if (first.isConnected && table.checkVisibility() && performance.now() - began < 20000) requestAnimationFrame(look);
    else requestAnimationFrame(() => resolve(performance.now() - began));
  };
  requestAnimationFrame(look);
});

async function filterTimes() {
  const page = await newPage();
  const times = filters.map(() => []);
  const spent = filters.map(() => []);
  for (let i = 0; i < runs; i++) {
    for (const [n, [, script]] of filters.entries()) {
      await page.goto('about:blank');
      await page.goto(base + '#/tasks');
      await page.locator('#main tbody tr').first().waitFor();
      const before = cpu();
      times[n].push(await page.evaluate(filter, script));
      spent[n].push(cpu() - before);
    }
  }
  filters.forEach(([name], n) => print('a filter: ' + name, times[n], { goal: filtered, cpu: mean(spent[n]) }));
  await page.context().close();
}

// moves are from page to page by the navigation.
async function moves() {
  const page = await newPage();
  const times = pages.map(() => []);
  for (let i = 0; i < runs; i++) {
    for (const [n, [, hash, probe]] of pages.entries()) {
      await page.goto(base + '#/nothing');
      await page.locator('h1', { hasText: 'Not found' }).waitFor();
      const began = await page.evaluate((to) => {
        window.shownAt = 0;
        location.hash = to;
        return performance.now();
      }, hash);
      await page.evaluate(watch, probe);
      times[n].push((await measure(page)).at - began);
    }
  }
  pages.forEach(([name], n) => print('from another page, ' + name, times[n], { goal: filtered }));
  await page.context().close();
}

await launch();
await firstViews();
await filterTimes();
await moves();
await end();

// What a person can do on each page, and the scenario that does it. everyActionHasScenario
// fails for a control of the dashboard that is not here, for one here that is nowhere,
// and for a scenario that does not use its control.

import { open, go, submit, dialog, press, row, files, check } from './lib.mjs';

export const actions = {
  'frame: Add downloads': 'addOneURL',
  'frame: Colours': 'themeIsKept',
  'frame: Keyboard': 'keysAreListed',
  'frame: Dismiss': 'actOnWholeFilter',
  'frame: Stop': 'actOnWholeFilter',

  'overview: Add downloads': 'operatorBehindProxy',

  'tasks: Part of the URL': 'filterIsInAddress',
  'tasks: chip': 'filterIsInAddress',
  'tasks: Clear the filter': 'filterIsInAddress',
  'tasks: Copy as aria command': 'filterIsInAddress',
  'tasks: Created': 'everyFilter',
  'tasks: Order': 'everyFilter',
  'tasks: More filters': 'everyFilter',
  'tasks: Client': 'everyFilter',
  'tasks: Worker': 'everyFilter',
  'tasks: Label': 'everyFilter',
  'tasks: Priority': 'everyFilter',
  'tasks: Created before': 'everyFilter',
  'tasks: Clear': 'everyFilter',
  'tasks: First page': 'pagesByCursor',
  'tasks: Next page': 'pagesByCursor',
  'tasks: Export': 'exportFilter',
  'tasks: Select all rows of this page': 'actOnSelection',
  'tasks: Select NAME': 'observerActsOnNothing',
  'tasks: Pause': 'actOnSelection',
  'tasks: Resume': 'actOnSelection',
  'tasks: Retry': 'actOnSelection',
  'tasks: Cancel': 'actOnSelection',
  'tasks: Delete': 'actOnSelection',
  'tasks: Copy ids': 'actOnSelection',
  'tasks: Clear the selection': 'actOnSelection',
  'tasks: All that match': 'actOnWholeFilter',
  'tasks: Pause all': 'actOnWholeFilter',
  'tasks: Resume all': 'actOnWholeFilter',
  'tasks: Retry all': 'actOnWholeFilter',
  'tasks: Cancel all': 'actOnWholeFilter',
  'tasks: Delete all': 'actOnWholeFilter',

  'task: Pause': 'taskPage',
  'task: Resume': 'taskPage',
  'task: Cancel': 'taskPage',
  'task: Retry': 'taskOutcomes',
  'task: Delete': 'taskPage',
  'task: Priority': 'taskPage',
  'task: JSON': 'taskPage',
  'task: Copy': 'taskPage',
  'task: Copy as aria command': 'taskPage',

  'workers: Name of a worker': 'workers',
  'workers: chip': 'workers',
  'workers: Drain NAME': 'workers',
  'workers: Resume NAME': 'workers',
  'workers: Remove NAME': 'workers',
  'workers: First page': 'operatorBehindProxy',
  'workers: Next page': 'operatorBehindProxy',
  'worker: Drain': 'workers',
  'worker: Resume': 'workers',
  'worker: Remove': 'workers',
  'worker: Copy as aria command': 'workers',

  'hosts: Filter by name': 'hostsAndClients',
  'hosts: Host': 'hostsAndClients',
  'hosts: Waiting': 'hostsAndClients',
  'hosts: Running': 'hostsAndClients',
  'hosts: Limit': 'hostsAndClients',
  'hosts: Failed, last hour': 'hostsAndClients',
  'hosts: State': 'hostsAndClients',
  'clients: Filter by name': 'hostsAndClients',
  'clients: Client': 'hostsAndClients',
  'clients: Waiting or paused': 'hostsAndClients',
  'clients: With a worker': 'hostsAndClients',

  'dlq: Client': 'deadLetters',
  'dlq: Filter': 'deadLetters',
  'dlq: Read again': 'deadLetters',
  'dlq: N': 'deadLetters',
  'dlq: Show N': 'deadLetters',
  'dlq: Submit N again': 'deadLetters',
  'dlq: Delete N': 'deadLetters',
  'dlq: First page': 'operatorBehindProxy',
  'dlq: Next page': 'operatorBehindProxy',

  'events: Filter the events': 'events',
  'events: chip': 'events',
  'events: Pause': 'events',
  'events: Continue': 'events',
  'events: Clear': 'events',

  'system: Filter the configuration': 'configuration',

  'dialog: Close': 'addListWithBadLine',
  'dialog: URLs, one a line': 'addOneURL',
  'dialog: Torrent, metalink or list of URLs': 'addDroppedFiles',
  'dialog: Leave out NAME': 'addDroppedFiles',
  'dialog: Priority': 'addListWithBadLine',
  'dialog: Client': 'addListWithBadLine',
  'dialog: More': 'addWithEveryField',
  'dialog: Folder': 'addWithEveryField',
  'dialog: File name': 'addWithEveryField',
  'dialog: Labels': 'addWithEveryField',
  'dialog: Tags that the worker must have': 'addWithEveryField',
  'dialog: Not before': 'addWithEveryField',
  'dialog: Attempts at most': 'addWithEveryField',
  'dialog: Checksum': 'addWithEveryField',
  'dialog: Add': 'addOneURL',
  'dialog: Format': 'exportFilter',
  'dialog: Export': 'exportFilter',
  'dialog: Keep as it is': 'actOnSelection',
  'dialog: Cancel N tasks': 'actOnSelection',
  'dialog: Delete N tasks': 'actOnSelection',
  'dialog: Delete the finished files on the workers too': 'actOnSelection',
  'dialog: Cancel this task': 'taskPage',
  'dialog: Delete this task': 'taskPage',
  'dialog: Cancel every matching task': 'actOnWholeFilter',
  'dialog: Delete every matching task': 'actOnWholeFilter',
  'dialog: Remove it although it is alive; it comes back with its next heartbeat unless it is stopped': 'workers',
  'dialog: Remove the worker': 'workers',
  'dialog: Copy': 'deadLetters',
  'dialog: Delete the dead letter': 'deadLetters',
};

const later = () => new Date(Date.now() + 3600e3).toISOString();

// everyControl returns the controls of every page and dialog as "place: name".
export async function everyControl() {
  const waits = (id, more) => ({ id, url: `${files}/file/${id}.bin`, not_before: later(), ...more });
  await submit([waits('control-1'), waits('control-2')], 'control');
  const { page, done } = await open('/', { wanted: ['status of 4'] });
  const found = new Set();
  const collect = async () => (await page.evaluate(() => window.controlsHere())).forEach((c) => found.add(c));
  const inDialog = async (begin) => {
    await begin();
    await dialog(page).waitFor();
    await collect();
    await page.keyboard.press('Escape');
    await dialog(page).waitFor({ state: 'detached' });
  };
  for (const hash of ['/', '/workers', '/worker/node-one', '/hosts', '/clients', '/dlq', '/events', '/system', '/task/control-1', '/tasks?client=nobody-' + Date.now(), '/tasks?client=control']) {
    await go(page, hash);
    await page.locator('#main :is(tbody tr, .empty, .figure, .stack):visible').first().waitFor();
    await collect();
  }
  await row(page, 'control-1.bin').waitFor();
  await collect();
  await row(page, 'control-1.bin').getByRole('checkbox').check();
  await collect();
  await inDialog(() => page.getByRole('toolbar').getByRole('button', { name: 'Cancel', exact: true }).click());
  await inDialog(() => press(page, 'Export'));
  await inDialog(() => press(page, 'Add downloads'));
  await inDialog(() => press(page, 'Keyboard'));
  await go(page, '/dlq');
  await inDialog(() => page.getByRole('button', { name: /^Show \d/ }).first().click());
  await inDialog(() => page.getByRole('button', { name: /^Delete \d/ }).first().click());
  await go(page, '/worker/node-one');
  await inDialog(() => press(page, 'Remove'));
  await done();
  return found;
}

// uncovered fails with what is missing in the table or in a scenario.
export function uncovered(found, used, scenarios) {
  const faults = [];
  for (const control of found) if (!(control in actions)) faults.push(`"${control}" is in the dashboard and not in actions.mjs`);
  for (const [control, name] of Object.entries(actions)) {
    if (!scenarios[name]) faults.push(`"${control}": there is no scenario ${name}`);
    else if (!used.get(name)?.has(control)) faults.push(`the scenario ${name} does not use "${control}"`);
    if (!found.has(control) && ![...used.values()].some((u) => u.has(control))) faults.push(`"${control}" is nowhere in the dashboard`);
  }
  check(faults.length === 0, faults.sort().join('\n'));
}

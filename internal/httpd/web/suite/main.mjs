// Runs the scenarios, some at a time, and prints a line of JSON for each.

import { launch, end, running, used } from './lib.mjs';
import { everyControl, uncovered } from './actions.mjs';
import * as adding from './adding.mjs';
import * as tasks from './tasks.mjs';
import * as cluster from './cluster.mjs';
import * as roles from './roles.mjs';
import * as safety from './safety.mjs';
import * as shape from './shape.mjs';

const { workers, events, ...others } = cluster;
const { actOnWholeFilter, ...listed } = tasks;
const { operatorBehindProxy, ...users } = roles;

// The scenarios of a lane run one after the other: the workers are drained and removed
// while nothing else downloads for long, the page of events keeps the newest ones while no
// job over a filter makes thousands, and the operator finds an empty cluster.
const lanes = [{ ...adding, ...listed, workers }, { ...shape, actOnWholeFilter, events }, { ...others, operatorBehindProxy, ...users, ...safety }];

const only = process.env.SUITE_ONLY && new RegExp(process.env.SUITE_ONLY);
let failed = false;

async function perform(name, run) {
  const began = Date.now();
  let error = '';
  try {
    await running.run(name, run);
  } catch (e) {
    error = e.stack;
    failed = true;
  }
  console.log(JSON.stringify({ name, error, ms: Date.now() - began }));
}

async function follow(lane) {
  for (const [name, run] of Object.entries(lane)) {
    if (only && !only.test(name)) continue;
    if (name === 'screenshots' && !process.env.SUITE_SHOTS) continue; // only for the documents
    await perform(name, run);
  }
}

await launch();
await Promise.all(lanes.map(follow));
if (!only) {
  const scenarios = Object.assign({}, ...lanes);
  await perform('everyActionHasScenario', async () => uncovered(await everyControl(), used, scenarios));
}
await end();
process.exit(failed ? 1 : 0);

// Runs the scenarios one after the other and prints a line of JSON for each.

import { launch, end } from './lib.mjs';
import * as adding from './adding.mjs';
import * as tasks from './tasks.mjs';
import * as cluster from './cluster.mjs';
import * as safety from './safety.mjs';
import * as shape from './shape.mjs';

const only = process.env.SUITE_ONLY;
let failed = false;
await launch();
for (const [name, run] of [adding, tasks, cluster, safety, shape].flatMap((m) => Object.entries(m))) {
  if (only && !new RegExp(only).test(name)) continue;
  if (name === 'screenshots' && !process.env.SUITE_SHOTS) continue; // only for the documents
  const began = Date.now();
  let error = '';
  try {
    await run();
  } catch (e) {
    error = e.stack;
    failed = true;
  }
  console.log(JSON.stringify({ name, error, ms: Date.now() - began }));
}
await end();
process.exit(failed ? 1 : 0);

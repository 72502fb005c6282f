// What a person can do with tasks and workers, on one, on a selection and on a filter.

import { h, name } from './dom.js';
import { actOnTask, actOnWorker, listTasks } from './api.js';
import { attempt, confirm, toast } from './dialog.js';

import * as f from './format.js';

// verbs: on says which statuses a verb applies to.
export const verbs = {
  pause: { label: 'Pause', icon: 'paused', on: ['pending', 'queued', 'downloading'], past: 'paused' },
  resume: { label: 'Resume', icon: 'play', on: ['paused'], past: 'resumed' },
  retry: { label: 'Retry', icon: 'retry', on: ['failed', 'canceled'], past: 'retried' },
  cancel: { label: 'Cancel', icon: 'canceled', on: ['pending', 'queued', 'downloading', 'paused'], past: 'canceled', danger: true },
  delete: { label: 'Delete', icon: 'trash', on: ['completed', 'failed', 'canceled'], past: 'deleted', danger: true },
};

export const applies = (verb, task) => verbs[verb].on.includes(task.status);

const consequences = {
  cancel: 'The downloads stop, and their partial files are removed. Retry starts them from the first byte.',
  delete: 'The tasks disappear from every list. This cannot be undone.',
};

// ask has the person confirm a destructive verb; it resolves with the fields, or null.
// example is a task to name, what the number of tasks in words.
export async function ask(verb, what, example) {
  if (!verbs[verb].danger) return {};
  const files = verb === 'delete' && h('label', { class: 'check' }, h('input', { type: 'checkbox', name: 'files' }),
    ' Delete the finished files on the workers too');
  return confirm({
    title: `${verbs[verb].label} ${what}?`,
    body: [example && h('p', { class: 'example' }, name(example)), h('p', null, consequences[verb])],
    action: `${verbs[verb].label} ${what}`, extra: [files],
  });
}

// onTask acts on one task. It resolves with whether that happened.
export async function onTask(verb, task) {
  const form = await ask(verb, 'this task', f.fileName(task));
  if (!form) return false;
  return attempt(() => actOnTask(verb, { id: task.id, ...(form.files ? { files: true } : {}) }), `Task ${task.id.slice(-8)} is ${verbs[verb].past}.`);
}

// onTasks acts on a selection, by pages of a thousand ids.
export async function onTasks(verb, ids) {
  const what = ids.length === 1 ? '1 task' : f.count(ids.length) + ' tasks';
  const form = await ask(verb, what);
  if (!form) return false;
  const failed = [];
  const all = await attempt(async () => {
    for (let i = 0; i < ids.length; i += 1000) {
      const answer = await actOnTask(verb, { ids: ids.slice(i, i + 1000), ...(form.files ? { files: true } : {}) });
      failed.push(...(answer.tasks ?? []).filter((t) => t.error).map((t) => t.error));
    }
  });
  if (!all) return false;
  const done = ids.length - failed.length;
  if (done) toast(`${f.count(done)} ${done === 1 ? 'task is' : 'tasks are'} ${verbs[verb].past}.`);
  if (failed.length) toast(`${f.count(failed.length)} not possible. ${failed[0].message}`, { error: true });
  return true;
}

export const setPriority = (task, priority) =>
  attempt(() => actOnTask('update', { id: task.id, priority }), `Task ${task.id.slice(-8)} has the priority ${priority}.`);

const alive = (worker) => worker.status !== 'offline';

// onWorker drains, resumes or removes a worker. Before a removal it shows what would
// move to other workers.
export async function onWorker(verb, worker) {
  let body = { id: worker.id };
  if (verb === 'remove') {
    const held = worker.current_tasks?.length ?? 0;
    const extra = [];
    if (alive(worker)) {
      extra.push(h('label', { class: 'check' }, h('input', { type: 'checkbox', name: 'force', required: true }),
        ' Remove it although it is alive; it comes back with its next heartbeat unless it is stopped'));
    }
    const form = await confirm({
      title: 'Remove the worker ' + worker.id + '?', action: 'Remove the worker',
      body: [h('p', null, held === 0 ? 'It holds no task: nothing would move.' : `${f.count(held)} ${held === 1 ? 'task' : 'tasks'} would move to other workers:`), await heldList(worker)],
      extra,
    });
    if (!form) return false;
    if (form.force) body.force = true;
  }
  return attempt(() => actOnWorker(verb, body), `The worker ${worker.id} ${{ drain: 'is draining', resume: 'takes new tasks', remove: 'is removed' }[verb]}.`);
}

async function heldList(worker) {
  if (!worker.current_tasks?.length) return null;
  try {
    const page = await listTasks({ worker_id: worker.id, limit: 8 });
    const rest = worker.current_tasks.length - page.tasks.length;
    return h('ul', { class: 'example' }, page.tasks.map((t) => h('li', null, name(f.fileName(t)), ` (${t.status}, ${f.percent(t.progress)})`)),
      rest > 0 && h('li', null, `and ${f.count(rest)} more`));
  } catch {
    return null;
  }
}


// Jobs over a whole filter. They run on the dispatcher; this page only watches. The id
// of the job is kept in the browser, so that a reload finds it again.

import { h, set } from './dom.js';
import { get, post, remove, explain } from './api.js';
import { attempt, button } from './dialog.js';
import { icon } from './icons.js';
import * as f from './format.js';

const key = 'aria.bulk';

function load() {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

const save = (job) => (job ? localStorage.setItem(key, JSON.stringify(job)) : localStorage.removeItem(key));

const words = { cancel: 'Cancel', pause: 'Pause', resume: 'Resume', retry: 'Retry', delete: 'Delete' };

let timer = 0;

// start begins a job and shows it. text describes the filter.
export async function start(verb, filter, text) {
  await attempt(async () => {
    const answer = await post('bulk', { verb, filter });
    save({ id: answer.bulk, verb, text, matched: answer.matched });
    watch();
  });
}

// watch shows the remembered job until it ends.
export function watch() {
  clearTimeout(timer);
  const job = load();
  const area = document.getElementById('bulk');
  area.replaceChildren();
  if (!job) return;
  const title = h('strong', null, `${words[job.verb] ?? job.verb}: ${job.text}`);
  const text = h('span', { class: 'num', role: 'status' });
  const bar = h('progress', { max: 1, 'aria-label': 'Progress of the job' });
  const stop = button('Stop', async () => {
    stop.disabled = true;
    await attempt(() => remove('bulk/' + encodeURIComponent(job.id)));
    poll();
  }, { icon: 'stop' });
  const dismiss = button('Dismiss', () => {
    save(null);
    watch();
  }, { kind: 'icon', icon: 'close' });
  dismiss.hidden = true;
  area.append(h('section', { class: 'bulk', 'aria-label': 'Job over a filter' },
    icon('tasks'), h('div', { class: 'grow wrap' }, title, ' ', text), bar, stop, dismiss));

  const end = (message) => {
    document.dispatchEvent(new Event('bulk-end')); // what is listed has changed
    set(text, message);
    stop.hidden = true;
    bar.hidden = true;
    dismiss.hidden = false;
  };
  async function poll() {
    clearTimeout(timer);
    let now;
    try {
      now = await get('bulk/' + encodeURIComponent(job.id));
    } catch (e) {
      if (e.code === 404) now = { state: 'lost' };
      else {
        set(text, explain(e));
        if (text.isConnected) timer = setTimeout(poll, 3000);
        return;
      }
    }
    if (!text.isConnected) return; // another job is shown since this was asked
    const done = `${f.count(now.done)} done, ${f.count(now.failed)} not possible`;
    switch (now.state) {
      case 'running':
        if (job.matched > 0) bar.value = Math.min(1, (now.examined ?? now.done) / job.matched);
        else bar.removeAttribute('value');
        set(text, `${done}, ${f.count(now.examined)} examined${job.matched > 0 ? ' of ' + f.count(job.matched) : ', how many match is not known'}`);
        timer = setTimeout(poll, 700);
        return;
      case 'lost': return end('The dispatcher has restarted and forgot this job. Start it again; what is done is not repeated.');
      case 'stopped': return end(`stopped: ${done}`);
      default: return end(`finished: ${done}`);
    }
  }
  poll();
}

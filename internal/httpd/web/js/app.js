// The shell: pages by the address, navigation, theme, connection.

import { h, append } from './dom.js';
import { begin, session } from './api.js';
import { icon } from './icons.js';
import { onState, settle } from './live.js';
import { watch } from './bulk.js';
import { listen, showKeys } from './keys.js';
import { empty } from './parts.js';

const pages = {
  '': { title: 'Overview', icon: 'overview', load: () => import('./pages/overview.js') },
  tasks: { title: 'Tasks', icon: 'tasks', load: () => import('./pages/tasks.js') },
  workers: { title: 'Workers', icon: 'workers', load: () => import('./pages/workers.js') },
  hosts: { title: 'Hosts', icon: 'hosts', load: () => import('./pages/hosts.js') },
  clients: { title: 'Clients', icon: 'clients', load: () => import('./pages/clients.js') },
  dlq: { title: 'Dead letters', icon: 'dlq', load: () => import('./pages/dlq.js') },
  events: { title: 'Events', icon: 'events', load: () => import('./pages/events.js') },
  system: { title: 'System', icon: 'system', load: () => import('./pages/system.js') },
  task: { title: 'Task', within: 'tasks', load: () => import('./pages/task.js') },
  worker: { title: 'Worker', within: 'workers', load: () => import('./pages/worker.js') },
};

const main = document.getElementById('main');
const nav = document.getElementById('nav');
let current = null;

// route splits the address behind # into the page, the id and the query.
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  const [page, id] = path.split('/');
  let decoded = id ?? '';
  try {
    decoded = decodeURIComponent(decoded);
  } catch { /* an address that was typed; the id is shown unchanged */ }
  return { page, id: decoded, query: new URLSearchParams(query ?? '') };
}

async function show() {
  const to = route();
  if (current && current.page === to.page && current.id === to.id && current.view?.change) {
    current.view.change(to.query);
    return;
  }
  current?.leave.abort();
  const leave = new AbortController();
  const mine = (current = { ...to, leave, view: null });
  const page = pages[to.page];
  for (const a of nav.children) {
    const here = a.dataset.page === (page?.within ?? to.page);
    if (here) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  document.title = (page?.title ?? 'Not found') + ' · Aria';
  if (!page) {
    main.replaceChildren(h('h1', { tabindex: -1 }, 'Not found'), empty('There is no such page.', location.hash, h('a', { href: '#/' }, 'Overview')));
    return;
  }
  try {
    const module = await page.load();
    if (mine !== current) return;
    const root = h('div', { class: 'page p-' + (to.page || 'overview') });
    main.replaceChildren(root);
    // focusHeading is for pages whose heading comes with their first answer.
    const moved = show.again;
    const focusHeading = () => { if (moved) root.querySelector('h1')?.focus({ preventScroll: true }); };
    mine.view = module.mount(root, { ...to, signal: leave.signal, focusHeading });
    settle();
  } catch (e) {
    if (mine === current) main.replaceChildren(h('h1', { tabindex: -1 }, page.title), empty('The page could not be loaded.', e.message));
  }
  scrollTo(0, 0);
  if (show.again) main.querySelector('h1')?.focus({ preventScroll: true });
  show.again = true;
}

function buildNav() {
  const hidden = session.own ? ['', 'workers', 'hosts', 'clients', 'dlq', 'system'] : [];
  nav.replaceChildren();
  append(nav, Object.entries(pages).filter(([key, p]) => p.icon && !hidden.includes(key)).map(([key, p]) =>
    h('a', { href: '#/' + key, data: { page: key } }, icon(p.icon), h('span', null, p.title))));
}

const themes = ['auto', 'light', 'dark'];

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem('aria.theme', theme);
  const b = document.getElementById('theme');
  b.replaceChildren(icon(theme));
  b.setAttribute('aria-label', `Colours: ${theme}. Change`);
  b.title = `Colours: ${theme}`;
  document.dispatchEvent(new Event('theme'));
}

async function add(files) {
  const { showAdd } = await import('./add.js');
  showAdd(files);
}

function buildTools() {
  const b = document.getElementById('add');
  append(b, [icon('plus'), h('span', null, 'Add')]);
  b.setAttribute('aria-label', 'Add downloads');
  b.addEventListener('click', () => add());
  const stored = localStorage.getItem('aria.theme');
  setTheme(themes.includes(stored) ? stored : 'auto');
  document.getElementById('theme').addEventListener('click', () =>
    setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]));
  const help = document.getElementById('help');
  help.append(icon('help'));
  help.setAttribute('aria-label', 'Keyboard');
  help.addEventListener('click', showKeys);
  const text = { live: 'Live', connecting: 'Connecting…', lost: 'Not connected' };
  const connection = document.getElementById('connection');
  onState((state) => {
    connection.dataset.state = state;
    connection.replaceChildren(icon({ live: 'online', connecting: 'pending', lost: 'error' }[state]), h('span', null, text[state]));
  });
}

buildNav();
buildTools();
listen({ add: () => add() });
import('./add.js').then((m) => m.acceptDrops());
addEventListener('hashchange', show);
watch();
// The page is asked for at once; which endpoints the user may ask is known by its first
// answer. Only a client's login waits for that.
begin().then(() => {
  if (!session.own) return;
  buildNav();
  if (route().page === '') location.hash = '#/tasks';
  else {
    current?.leave.abort();
    current = null;
    show();
  }
});
show();

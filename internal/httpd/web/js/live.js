// The event stream: one EventSource at a time, for what the page shown needs.

import { address, session, firstAnswers } from './api.js';

let source = null;
let wanted = null;
const listeners = new Set();
let state = 'connecting';

// The first stream is opened after the frame with the first answers: it has no part in what
// the person sees first, and takes one of the six connections.
let shown = false;
firstAnswers.then(() => requestAnimationFrame(() => setTimeout(() => {
  shown = true;
  open();
})));

function report(next) {
  if (state === next) return;
  state = next;
  for (const l of listeners) l(state);
}

// onState calls listener with "live", "connecting" or "lost", now and at changes.
export function onState(listener) {
  listeners.add(listener);
  listener(state);
}

const kinds = ['task', 'progress', 'worker', 'intake'];

// idle is what is wanted while a page needs no events: the state of the connection.
const idle = { types: ['worker'], handle() {} };

// open replaces the stream. A hidden page has none: browsers open six connections to a
// server at most, for all pages together.
function open() {
  source?.close();
  source = null;
  if (!wanted || !shown || document.hidden) return;
  const url = address('events');
  url.searchParams.set('types', session.own ? 'task,progress,intake' : wanted.types.join(','));
  if (wanted.client) url.searchParams.set('client', wanted.client);
  if (wanted.id) url.searchParams.set('id', wanted.id);
  const mine = (source = new EventSource(url));
  mine.onopen = () => {
    report('live');
    wanted?.resync?.();
  };
  mine.onerror = () => {
    report(mine.readyState === EventSource.CLOSED ? 'lost' : 'connecting');
    // The browser does not try again after an error response; the dispatcher may be
    // starting.
    if (mine.readyState === EventSource.CLOSED) setTimeout(() => { if (source === mine) open(); }, 3000);
  };
  const take = (kind) => (message) => {
    let event;
    try {
      event = JSON.parse(message.data);
    } catch {
      return;
    }
    wanted?.handle(kind, event);
  };
  for (const kind of kinds) mine.addEventListener(kind, take(kind));
}

// follow opens the stream with want: {types, client, id, handle(kind, event), resync()}
// until signal ends.
export function follow(want, signal) {
  wanted = want;
  open();
  signal.addEventListener('abort', () => {
    if (wanted !== want) return;
    wanted = null;
    settle();
  });
}

// settle opens the stream for the state of the connection alone, if the page that is
// being shown asks for no events.
export function settle() {
  queueMicrotask(() => {
    if (!wanted) follow(idle, new AbortController().signal);
  });
}

document.addEventListener('visibilitychange', open);

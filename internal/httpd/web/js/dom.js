// Elements and text. Text from outside enters the page here, by textContent only.

// Characters that change the direction of text or have no glyph are shown by their
// number, so that a name cannot pose as another one.
const invisible = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function visible(text) {
  return String(text ?? '').replace(invisible, (c) => '‹U+' + c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0') + '›');
}

// h makes an element. Properties: class, on: {event: handler}, data: {…}; others are
// attributes; false and null leave an attribute out. Children are nodes or text.
export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') {
      for (const [event, handler] of Object.entries(value)) el.addEventListener(event, handler);
    } else if (name === 'data') Object.assign(el.dataset, value);
    else if (name === 'class') el.className = value;
    else if (name === 'value') el.value = value;
    else if (name === 'checked') el.checked = value;
    else el.setAttribute(name, value === true ? '' : visible(value));
  }
  append(el, children);
  return el;
}

export function append(el, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    el.append(child instanceof Node ? child : visible(child));
  }
  return el;
}

// name shows text from outside, isolated from the direction of its surroundings.
export function name(text, props) {
  return h('bdi', props, text);
}

// set changes a text only if it differs, so that nothing is painted without need.
export function set(el, text) {
  const shown = visible(text);
  if (el.textContent !== shown) el.textContent = shown;
}

export function setAttr(el, attr, value) {
  if (value === null || value === undefined || value === false) {
    if (el.hasAttribute(attr)) el.removeAttribute(attr);
  } else if (el.getAttribute(attr) !== visible(value)) el.setAttribute(attr, visible(value));
}

// keyed makes the children of parent equal to items: elements of the same key stay, are
// updated in place and keep focus. create(item) returns {el, update}.
export function keyed(parent, items, key, create) {
  const old = parent.keyedRows ?? new Map();
  const rows = new Map();
  let at = parent.firstElementChild;
  for (const item of items) {
    const k = key(item);
    if (rows.has(k)) continue;
    const row = old.get(k) ?? create(item);
    row.update?.(item);
    row.item = item;
    rows.set(k, row);
    if (row.el === at) at = at.nextElementSibling;
    else parent.insertBefore(row.el, at);
  }
  for (const [k, row] of old) {
    if (!rows.has(k)) row.el.remove();
  }
  parent.keyedRows = rows;
  return rows;
}

const rowHeight = 40; // px, at least

// inSteps returns those of rows to draw now. A table that is empty, or whose rows belong to
// another list (fresh), gets the rows of the first screen; draw is called again for the
// others once these are painted, after the frame that the person sees.
export function inSteps(table, rows, draw, signal, fresh = false) {
  const firstScreen = Math.ceil(innerHeight / rowHeight);
  if ((table.firstElementChild && !fresh) || rows.length <= firstScreen) return rows;
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => { if (!signal.aborted) draw(); })));
  return rows.slice(0, firstScreen);
}

// painter returns a function that runs paint once before the next frame, however often
// it is called.
export function painter(paint, signal) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (!signal?.aborted) paint();
    });
  };
}

// every calls work now and then each period in ms while the page is visible, until
// signal ends. A call begins after the one before has ended; the first one after a period
// if later is set.
export function every(period, signal, work, later = false) {
  let timer = 0;
  let running = false;
  const run = async () => {
    clearTimeout(timer);
    if (signal.aborted || running) return;
    running = true;
    try {
      if (!document.hidden) await work();
    } finally {
      running = false;
    }
    if (!signal.aborted) timer = setTimeout(run, period);
  };
  const shown = () => { if (!document.hidden) run(); };
  document.addEventListener('visibilitychange', shown, { signal });
  signal.addEventListener('abort', () => clearTimeout(timer));
  if (later) timer = setTimeout(run, period);
  else run();
  return run;
}

// atMost returns a function that calls work at once, and again after a period in ms at the
// earliest, however often it is called.
export function atMost(period, signal, work) {
  let timer = 0;
  let last = -Infinity;
  return () => {
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      last = performance.now();
      if (!signal.aborted) work();
    }, Math.max(0, last + period - performance.now()));
  };
}

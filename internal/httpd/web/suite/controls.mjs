// Which controls a page has, and which of them are used. Both functions run in the page.

// listen reports the place and the name of each control that is used.
export function listen() {
  const place = (el) => (el.closest('dialog') ? 'dialog' : el.closest('#main') ? location.hash.replace(/^#\/?/, '').split(/[/?]/)[0] || 'overview' : 'frame');
  const patterns = [[/^(Select) (?!all).*/, '$1 NAME'], [/^(Leave out) .*/, '$1 NAME'],
    [/^(Colours).*/, '$1'], [/\d[\d,]*/g, 'N'], [/N tasks?$/, 'N tasks'], [/^(All that match|All tasks).*/, 'All that match']];
  const name = (el) => {
    if (el.matches('.chip input')) return 'chip';
    const label = el.closest('label');
    const text = el.getAttribute('aria-label') || label?.querySelector('span')?.textContent || label?.textContent || el.textContent || el.name;
    const plain = patterns.reduce((t, [from, to]) => t.replace(from, to), text.trim());
    return el.closest('.row-tools') ? plain.replace(/^(Drain|Resume|Remove) .*/, '$1 NAME') : plain;
  };
  const controls = 'button, summary, input, select, textarea';
  window.controlsHere = () => [...document.querySelectorAll(controls)].map((el) => place(el) + ': ' + name(el));
  for (const type of ['click', 'change', 'input']) {
    addEventListener(type, (e) => {
      const el = e.target.closest?.(controls);
      if (el) window.reportUse(place(el) + ': ' + name(el));
    }, true);
  }
}

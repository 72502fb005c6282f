// Plots. Each has its figures in text: the newest, the mean and the highest value.

import { h, set } from './dom.js';

let library = null;

// load fetches uPlot once. A page that has plots in any case calls it before it knows the
// figures.
export async function load() {
  if (!library) {
    const css = h('link', { rel: 'stylesheet', href: new URL('../vendor/uplot/uPlot.min.css', import.meta.url) });
    document.head.append(css);
    library = import('../vendor/uplot/uPlot.esm.js').then((m) => m.default);
  }
  return library;
}

// A canvas does not know the variables of CSS, so colours are read from elements.
const color = (el, property = 'color') => getComputedStyle(el)[property];
const faint = (rgb) => rgb.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.12)');

// timeRange is the axis for the times, in seconds; one alone has a minute before it. The
// range that uPlot offers has a day for it.
export function timeRange(times) {
  const end = times.at(-1) ?? Date.now() / 1000;
  return [times.length > 1 ? times[0] : end - 60, end];
}

// timeLabels are the labels of the ticks at these seconds, with seconds where minutes would
// repeat.
export function timeLabels(ticks) {
  const second = ticks.length > 1 && ticks[1] - ticks[0] < 60 ? '2-digit' : undefined;
  return ticks.map((t) => new Date(t * 1000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit', second }));
}

// plot makes a figure with one line a series: {title, series: [{label, color}], format}.
// show(times in seconds, [values…]) draws it; values may have null for "not known".
// least is the end of the axis while all values are 0.
export function plot({ title, series, format, signal, least = 1, height = 130 }) {
  const box = h('div', { class: 'plot', 'aria-hidden': 'true' });
  const lines = series.map((s) => {
    const text = h('span', { class: 'num' });
    const key = h('i', { class: 'key ' + s.color });
    return { ...s, text, key, el: h('span', { class: 'legend' }, key, h('span', null, s.label + ' '), text) };
  });
  const el = h('figure', { class: 'panel figure' }, h('figcaption', null, h('h2', null, title), h('div', { class: 'legends' }, lines.map((l) => l.el))), box);
  let chart = null;
  let data = null;
  const width = () => Math.max(box.clientWidth, 120);

  async function draw() {
    const uPlot = await load();
    if (signal.aborted || chart || !box.isConnected) return;
    const axis = { stroke: () => color(box), grid: { stroke: () => color(box, 'borderBottomColor'), width: 1 }, ticks: { show: false }, font: '11px system-ui', gap: 4 };
    chart = new uPlot({
      width: width(), height, legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { range: (u) => timeRange(u.data[0]) }, y: { range: (u, min, max) => [0, max > 0 ? max * 1.1 : least] } },
      axes: [
        { ...axis, size: 26, space: 90, values: (u, at) => timeLabels(at) },
        { ...axis, size: 62, space: 34, values: (u, at) => at.map((v) => format(v)) },
      ],
      series: [{}, ...lines.map((l) => ({ label: l.label, stroke: () => color(l.key), width: 1.75, points: { show: false }, fill: lines.length === 1 ? () => faint(color(l.key)) : undefined }))],
    }, data, box);
  }
  const redraw = () => chart?.redraw(false);
  addEventListener('resize', () => chart?.setSize({ width: width(), height }), { signal });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw, { signal });
  document.addEventListener('theme', redraw, { signal });
  signal.addEventListener('abort', () => chart?.destroy());

  el.show = (times, values) => {
    data = [times, ...values];
    lines.forEach((l, i) => {
      const known = values[i].filter((v) => Number.isFinite(v));
      const mean = known.reduce((a, b) => a + b, 0) / known.length;
      set(l.text, known.length ? `${format(known.at(-1))}, mean ${format(mean)}, highest ${format(Math.max(...known))}` : 'no figures yet');
    });
    if (chart) chart.setData(data);
    else draw();
  };
  return el;
}

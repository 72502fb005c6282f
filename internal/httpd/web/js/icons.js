// Icons, drawn as lines. Each is a decoration: the text beside it or the aria-label of
// its button carries the meaning.

const paths = {
  overview: 'M3 12l9-8 9 8M6 10v10h12V10',
  tasks: 'M4 6h16M4 12h16M4 18h10',
  workers: 'M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01',
  hosts: 'M12 3a9 9 0 100 18 9 9 0 000-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18',
  clients: 'M12 12a4 4 0 100-8 4 4 0 000 8zM4 21c0-4 4-6 8-6s8 2 8 6',
  dlq: 'M4 7l8 6 8-6M4 5h16v14H4z',
  events: 'M3 12h4l3-8 4 16 3-8h4',
  system: 'M4 7h10M18 7h2M4 17h2M10 17h10M16 4.500v5M8 14.500v5',
  pending: 'M12 3a9 9 0 100 18 9 9 0 000-18zM12 7v5l3 2',
  queued: 'M5 12h.01M12 12h.01M19 12h.01',
  downloading: 'M12 4v12M7 11l5 5 5-5M5 20h14',
  paused: 'M8 5v14M16 5v14',
  completed: 'M5 13l5 5 9-11',
  failed: 'M6 6l12 12M18 6L6 18',
  canceled: 'M12 3a9 9 0 100 18 9 9 0 000-18zM6 6l12 12',
  accepted: 'M5 13l5 5 9-11',
  rejected: 'M6 6l12 12M18 6L6 18',
  online: 'M5 13l5 5 9-11',
  busy: 'M4 5h16v14H4zM8 9h8M8 12h8M8 15h8',
  draining: 'M4 5h16l-6 7v7l-4 2v-9z',
  offline: 'M6 6l12 12M18 6L6 18',
  error: 'M12 4l9 16H3zM12 10v4M12 17h.01',
  removed: 'M5 12h14',
  plus: 'M12 5v14M5 12h14',
  search: 'M11 4a7 7 0 100 14 7 7 0 000-14zM16 16l5 5',
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  download: 'M12 4v12M7 11l5 5 5-5M5 20h14',
  help: 'M9 9a3 3 0 116 0c0 2-3 2-3 5M12 18h.01',
  auto: 'M12 3a9 9 0 100 18zM12 3a9 9 0 010 18',
  light: 'M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.500 1.500M17.500 17.500L19 19M5 19l1.500-1.500M17.500 6.500L19 5',
  dark: 'M20 14A8.500 8.500 0 019.500 4 8.500 8.500 0 1020 14z',
  play: 'M7 5l12 7-12 7z',
  stop: 'M6 6h12v12H6z',
  retry: 'M4 12a8 8 0 0114-5l2 2M20 4v5h-5M20 12a8 8 0 01-14 5l-2-2M4 20v-5h5',
  trash: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
};

export function icon(name) {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'i');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('d', paths[name] ?? paths.pending);
  svg.append(path);
  return svg;
}

// Requests of the HTTP API. Paths are relative to the page, so that the dashboard works
// behind a proxy under any path.

export class ApiError extends Error {
  constructor(code, message, id) {
    super(message);
    this.code = code;
    this.id = id;
  }
}

const base = new URL('.', location.href.split('#')[0]);

export const address = (path) => new URL('api/v1/' + path, base);

// limit ends a request that gets no answer, in ms.
const limit = 20000;

// firstAnswers resolves when the requests that a page sends at first are answered.
let firstAnswered;
export const firstAnswers = new Promise((resolve) => { firstAnswered = resolve; });
let pending = 0;

async function request(...args) {
  pending++;
  try {
    return await send(...args);
  } finally {
    if (--pending === 0) firstAnswered();
  }
}

async function send(method, path, body, signal) {
  const timeout = AbortSignal.timeout(limit);
  let response;
  try {
    response = await fetch(address(path), {
      method,
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      cache: 'no-store',
    });
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new ApiError(0, timeout.aborted ? 'The dispatcher did not answer within 20 s.' : 'The dispatcher cannot be reached.');
  }
  const text = await response.text();
  let answer;
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    answer = { error: { message: text.slice(0, 300) } };
  }
  if (!response.ok) {
    const e = answer.error ?? answer;
    throw new ApiError(response.status, (typeof e === 'string' ? e : e.message) || `status ${response.status}`, e.id);
  }
  return answer;
}

// A user with the role of a client reads and acts on its own tasks only. The server
// decides that; this remembers it, to ask the right endpoint at once.
export const session = { own: false };

export const post = (path, body, signal) => request('POST', path, body ?? {}, signal);
export const get = (path, signal) => request('GET', path, undefined, signal);
export const remove = (path) => request('DELETE', path);

export const status = (signal) => begun ?? post('query/status', {}, signal);
export const listTasks = (query, signal) => post(session.own ? 'task/list' : 'query/task/list', query, signal);
export const getTask = (id, signal) => post(session.own ? 'task/get' : 'query/task/get', { id }, signal);
export const actOnTask = (verb, body) => post((session.own ? 'task/' : 'admin/task/') + verb, body);
export const submit = (client, specs) =>
  post('task/submit' + (session.own || !client ? '' : '?client=' + encodeURIComponent(client)), { tasks: specs });
export const listWorkers = (query, signal) => post('query/worker/list', query, signal);
export const getWorker = (id, signal) => post('query/worker/get', { id }, signal);
export const actOnWorker = (verb, body) => post('admin/worker/' + verb, body);
export const config = (signal) => get('query/config', signal);
export const series = (signal) => get('query/series', signal);

// begun is the request of begin, until it is answered: a page that needs the same answer
// does not ask for it twice.
let begun = null;

// begin finds out which endpoints the user may ask.
export async function begin() {
  begun = status();
  try {
    return await begun;
  } catch (e) {
    if (e.code === 403) session.own = true;
    return null;
  } finally {
    begun = null;
  }
}

// explain completes an error with what a person can do about it.
export function explain(e) {
  if (e.name === 'AbortError') return '';
  switch (e.code) {
    case 0: return e.message + ' It is asked again every few seconds.';
    case 401: return 'You are not logged in. Reload the page to log in.';
    case 403: return e.message + ' Your role does not permit this.';
    case 429: return e.message + ' Try again in a moment.';
    case 503: return e.message + ' Try again in a moment.';
    default: return e.message;
  }
}

// A worker that speaks only the contract (docs/protocol.md, Workers): it takes HTTP
// tasks and puts each into DIR/<task>/file.  npm ci && node worker.js NAME DIR
// A real one has besides: a journal, ranges, checksums, a guard for private addresses.
import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { connect, JSONCodec } from 'nats'

const [name, dir] = process.argv.slice(2)
if (!dir) { console.error('usage: [NATS_URL=nats://HOST:4222] node worker.js NAME DIR'); process.exit(name === '-h' ? 0 : 2) }
const codec = JSONCodec()
const held = new Map() // task id → { report, stop }
const over = new Set() // "id/attempt": a late command for one does nothing

// The instance is kept and the epoch raised at each start: so a worker that was
// killed is known again at once.
await mkdir(dir, { recursive: true })
const last = JSON.parse(await readFile(join(dir, '.worker.json'), 'utf8').catch(() => '{}'))
const me = { instance: last.instance ?? randomUUID(), epoch: (last.epoch ?? 0) + 1 }
await writeFile(join(dir, '.worker.json'), JSON.stringify(me))

const nc = await connect({ servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222', maxReconnectAttempts: -1 })
const ask = async (verb, body) => {
  const m = await nc.request(`aria.v1.req.worker.${name}.${verb}`, codec.encode(body), { timeout: 5000 })
  return { code: m.headers?.get('Nats-Service-Error-Code'), ...(m.data.length && codec.decode(m.data)) }
}

let seq = 0, interval = 1, wake = () => {}, stopping = false
async function heartbeat (state) {
  const answer = await ask('heartbeat', {
    worker_id: name, ...me, seq: ++seq, state, total_slots: 3,
    capabilities: { protocols: ['http', 'https'] }, tasks: [...held.values()].map(h => h.report)
  })
  if (answer.code) throw new Error(`the heartbeat was answered ${answer.code}`)
  interval = answer.heartbeat_interval
  answer.forget?.forEach(release)
  answer.drop?.forEach(drop)
  answer.assign?.forEach(assign)
}

function release ({ id, attempt }) {
  over.add(`${id}/${attempt}`)
  setTimeout(() => over.delete(`${id}/${attempt}`), 600_000).unref()
  if (held.get(id)?.report.attempt === attempt) held.delete(id)
}

function drop (d) {
  if (held.get(d.id)?.report.attempt === d.attempt) held.get(d.id).stop.abort() // run lets go of it
  else release(d)
}

function assign ({ task, attempt }) {
  const earlier = held.get(task.id)
  if (over.has(`${task.id}/${attempt}`) || earlier?.report.attempt >= attempt) return
  earlier?.stop.abort()
  const h = { report: { id: task.id, attempt, status: 'downloading' }, stop: new AbortController() }
  held.set(task.id, h)
  run(task, h.report, h.stop.signal)
}

async function run (task, report, signal) {
  const end = await download(task, report, signal).catch(e => ({ status: 'failed', error: { code: e.code ?? 1, class: e.class ?? 'retryable', message: e.message } }))
  for (Object.assign(report, end); !signal.aborted; await new Promise(resolve => setTimeout(resolve, 500))) {
    const answer = await ask('report', report).catch(() => null) // repeated until it is answered
    if (answer && (!answer.code || answer.code === '409')) break
  }
  release(report)
  wake() // its slot is free once a heartbeat omits it
}

async function download (task, report, signal) {
  const part = join(dir, `.${task.id}.part`)
  const answer = await fetch(task.url, { signal })
  const again = answer.status >= 500 || [408, 425, 429].includes(answer.status)
  if (!answer.ok) throw Object.assign(new Error(`status=${answer.status}`), { code: 22, class: again ? 'retryable' : 'permanent' })
  Object.assign(report, { completed_length: 0, total_length: Number(answer.headers.get('Content-Length') ?? 0) })
  const count = async function * (body) { for await (const b of body) { report.completed_length += b.length; yield b } }
  await pipeline(answer.body ? Readable.fromWeb(answer.body) : [], count, createWriteStream(part)).catch(async e => { await rm(part); throw e })
  await mkdir(join(dir, task.id), { recursive: true })
  await rename(part, join(dir, task.id, 'file'))
  const length = report.completed_length
  return { status: 'completed', progress: 100, result: { files: [{ path: `${task.id}/file`, length }], total_length: length, worker_id: name } }
}

nc.subscribe(`aria.v1.cmd.worker.${name}.*`, { // they save the time until the next heartbeat
  callback: (_, m) => { const c = codec.decode(m.data); c.assign?.forEach(assign); c.drop?.forEach(drop); m.respond(); wake() }
})
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => { stopping = true; wake() })
while (!stopping) {
  await heartbeat('ready').catch(e => console.error(e.message))
  if (!stopping) await new Promise(resolve => { wake = resolve; setTimeout(resolve, interval * 1000).unref() })
}
held.forEach(h => h.stop.abort())
held.clear()
await heartbeat('leaving').catch(e => console.error(e.message)) // gives the name and the tasks back
await nc.drain()

// Drives a server by the npm package maria2: node maria2.mjs HOST PORT SECRET FILES
import assert from "node:assert/strict";
import WebSocket from "ws";
import { notifications } from "./notifications.mjs";

globalThis.WebSocket ??= WebSocket; // Node.js before 22 has none
const { aria2, close, createWebSocket, open } = await import("maria2/dist/index.js"); // the package names no main file for Node.js

const [host, port, secret, files] = process.argv.slice(2);
const conn = await open(createWebSocket(`ws://${host}:${port}/jsonrpc`), { secret });

const until = notifications((event, take) => conn.onNotification(`aria2.${event}`, ({ gid }) => take(gid)));

assert.match((await aria2.getVersion(conn)).version, /^\d+\.\d+/);
const done = await aria2.addUri(conn, [`${files}/fast/maria-a`]);
await until(`Complete ${done}`);
const slow = await aria2.addUri(conn, [`${files}/slow/maria-b`]);
await until(`Start ${slow}`);
await aria2.pause(conn, slow);
await until(`Pause ${slow}`);
const list = await aria2.tellWaiting(conn, 0, 10);
assert.deepEqual(list.map(({ gid, status }) => [gid, status]), [[slow, "paused"]]);
await aria2.remove(conn, slow);
assert.deepEqual(await aria2.tellWaiting(conn, 0, 10), []);
await aria2.purgeDownloadResult(conn);
close(conn);

// Drives a server by the npm package aria2: node aria2.mjs HOST PORT SECRET FILES
import assert from "node:assert/strict";
import Aria2 from "aria2";
import WebSocket from "ws";
import { notifications } from "./notifications.mjs";

const [host, port, secret, files] = process.argv.slice(2);
const aria2 = new Aria2({ host, port: Number(port), secret, path: "/jsonrpc", WebSocket });

const until = notifications((event, take) => aria2.on(event, ([{ gid }]) => take(gid)));

await aria2.open();
const { version } = await aria2.call("getVersion");
assert.match(version, /^\d+\.\d+/);
assert.ok((await aria2.listMethods()).includes("addUri"));

const done = await aria2.call("addUri", [`${files}/fast/npm-a`]);
await until(`Start ${done}`);
await until(`Complete ${done}`);
assert.equal((await aria2.call("tellStatus", done, ["status"])).status, "complete");

const failed = await aria2.call("addUri", [`${files}/status/404/npm-b`]);
await until(`Error ${failed}`);

const slow = await aria2.call("addUri", [`${files}/slow/npm-c`]);
await until(`Start ${slow}`);
await aria2.call("pause", slow);
await until(`Pause ${slow}`);
const [waitingList, stopped] = (await aria2.multicall([["tellWaiting", 0, 10, ["gid", "status"]], ["tellStopped", 0, 10, ["gid"]]])).map(([list]) => list);
assert.deepEqual(waitingList, [{ gid: slow, status: "paused" }]);
assert.deepEqual(stopped.map(({ gid }) => gid), [done, failed]);
await aria2.call("remove", slow);
const batch = await Promise.all(await aria2.batch([["tellActive"], ["getGlobalStat"]]));
assert.deepEqual(batch[0], []);
assert.equal(batch[1].numStopped, "2");
await assert.rejects(aria2.call("tellStatus", slow), /is not found/);
await aria2.call("purgeDownloadResult");
await aria2.close();

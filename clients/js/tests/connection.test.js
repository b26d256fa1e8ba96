// Connections to the chat that break in every way, and come back.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ReconnectingSocket } from "./kit/socket.js";
import { Proxy } from "./kit/proxy.js";
import { chat } from "./kit/server.js";
import { Events } from "./kit/wait.js";

/** A watch that notices within two seconds. */
const WATCH = { ping: "ping", pong: "pong", every: 50, within: 2000 };
/** Waits that do not make tests slow. */
const SOON = { firstWait: 20, longestWait: 200 };

/** The chat behind a network, and a socket of ann. */
async function start(test, options = {}, args = []) {
  const server = await chat(test, ...args);
  const proxy = await Proxy.start(test, server.port);
  const socket = new ReconnectingSocket(`http://127.0.0.1:${proxy.port}/ws?u=ann`, { ...SOON, ...options });
  test.after(() => socket.close());
  return { server, proxy, socket, events: new Events(socket) };
}

const say = (socket, text) => socket.send(JSON.stringify({ type: "msg", text }));
const withText = (text) => (message) => message.text === text;

test("a killed server is found again when it is back, and what waits is sent then", async (test) => {
  const { server, proxy, socket, events } = await start(test);
  assert.equal(socket.state, "closed");
  socket.open();
  await events.next("open");
  assert.equal(say(socket, "hello"), true);
  assert.equal((await events.said("user:msg")).text, "hello");

  await server.end("SIGKILL");
  const lost = await events.next("lost");
  assert.deepEqual([lost.code, lost.opened, lost.action], [1006, true, "retry"]);
  assert.equal(say(socket, "kept"), false);
  assert.equal((await events.next("lost")).opened, false);

  proxy.target = (await chat(test)).port;
  await events.next("open");
  assert.equal((await events.said("user:msg")).text, "kept");
  assert.deepEqual(socket.queued, { messages: 0, bytes: 0 });
});

test("a server that shuts down says so, and is found again", async (test) => {
  const { server, proxy, socket, events } = await start(test);
  socket.open();
  await events.next("open");
  const ended = server.end("SIGTERM");
  const lost = await events.next("lost");
  assert.deepEqual([lost.code, lost.opened, lost.action], [1012, true, "retry"]);
  proxy.target = (await chat(test)).port;
  await events.next("open");
  await ended;
});

test("a network that falls silent is noticed, while connected and while connecting", async (test) => {
  const { proxy, socket, events } = await start(test, { watch: WATCH, connectWithin: 500 });
  socket.open();
  await events.next("open");
  assert.ok((await events.next("pong")).roundTrip > 0);
  proxy.silence();
  await events.next("lost", ({ opened, reason }) => opened && reason === "no answer to a ping");
  await events.next("lost", ({ opened, reason }) => !opened && reason === "the server did not answer in time");
  proxy.heal();
  await events.next("open");
  say(socket, "back");
  await events.said("user:msg", withText("back"));
});

test("a connection that is cut comes back", async (test) => {
  const { proxy, socket, events } = await start(test, { watch: WATCH });
  socket.open();
  await events.next("open");
  proxy.cut();
  assert.equal((await events.next("lost")).code, 1006);
  await events.next("open");
  await events.next("pong");
});

test("a client that was removed stays away, unless its policy says otherwise", async (test) => {
  const remove = ({ server }) =>
    fetch(`http://127.0.0.1:${server.port}/users/ann`, { method: "DELETE", headers: { authorization: "Bearer open sesame" } });
  const removed = await start(test, {}, ["--secret", "open sesame"]);
  removed.socket.open();
  await removed.events.said("user:join");
  assert.equal((await remove(removed)).status, 200);
  const { code, reason, opened, byClient } = await removed.events.next("closed");
  assert.deepEqual([code, reason, opened, byClient], [4003, "removed", true, false]);
  assert.equal(removed.socket.retryAt, null);

  const back = await start(test, { closePolicy: { 4003: "retry" } }, ["--secret", "open sesame"]);
  back.socket.open();
  await back.events.said("user:join");
  assert.equal((await remove(back)).status, 200);
  assert.equal((await back.events.next("lost")).code, 4003);
  await back.events.next("open");
});

test("a message over the server's limit is not sent again and again", async (test) => {
  const { socket, events } = await start(test, { maxQueueBytes: 8 * 1024 * 1024 });
  socket.open();
  await events.next("open");
  socket.send("x".repeat(2 * 1024 * 1024));
  assert.equal((await events.next("closed")).code, 1009);
  // Somebody may open it again.
  socket.open();
  await events.next("open");
});

test("close and abort end it, at every moment", async (test) => {
  const { server, proxy, socket, events } = await start(test);
  socket.open();
  socket.close();
  assert.equal((await events.next("closed")).byClient, true);
  socket.open();
  await events.next("open");
  assert.throws(() => socket.close(1006), "a code that no client may send");
  assert.equal(socket.state, "open");
  socket.close(4000, "done");
  const closed = await events.next("closed");
  assert.deepEqual([closed.code, closed.reason, closed.opened, socket.state], [4000, "done", true, "closed"]);

  const abort = new AbortController();
  const other = new ReconnectingSocket(`ws://127.0.0.1:${proxy.port}/ws?u=bob`, { ...SOON, signal: abort.signal });
  const others = new Events(other);
  other.open();
  await others.next("open");
  await server.end("SIGKILL");
  await others.next("lost");
  say(other, "never sent");
  abort.abort(new Error("enough"));
  assert.deepEqual((await others.next("closed")).unsent, ['{"type":"msg","text":"never sent"}']);
  assert.throws(() => other.open(), /enough/);
});

test("one that is given up while it connects ends no process", async (test) => {
  const { server, proxy, socket, events } = await start(test);
  proxy.silence();
  socket.open();
  await events.next("connecting");
  // npm `ws` emits an error for a socket that is closed before it is open.
  await new Promise(setImmediate);
  socket.close();
  await events.next("closed");
  proxy.heal();
  socket.open();
  await events.next("open");
  await server.end("SIGKILL");
  await events.next("lost");
});

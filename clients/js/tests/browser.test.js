// The socket in a real browser. The page is the module itself, which the chat's server serves.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Page } from "./kit/browser.js";
import { Proxy } from "./kit/proxy.js";
import { chat } from "./kit/server.js";

/** Connects, and tells the test of every event. */
const CONNECT = `(async () => {
  const { ReconnectingSocket } = await import("/dog.js");
  globalThis.socket = new ReconnectingSocket("/ws?u=ann", {
    firstWait: 20, longestWait: 200, connectWithin: 1000, watch: { ping: "ping", pong: "pong", every: 50, within: 2000 },
  });
  for (const type of ["open", "lost", "closed"]) {
    socket.addEventListener(type, ({ code, reason, opened }) => tell(JSON.stringify({ type, code, reason, opened })));
  }
  socket.addEventListener("message", ({ data }) => tell(data));
  for (const type of ["freeze", "resume"]) document.addEventListener(type, () => tell(JSON.stringify({ type })));
  socket.open();
})()`;

const say = (text) => `socket.send(JSON.stringify({ type: "msg", text: ${JSON.stringify(text)} }))`;
const is = (type) => (told) => told.type === type;
const withText = (text) => (told) => told.text === text;

async function start(test) {
  const server = await chat(test);
  const proxy = await Proxy.start(test, server.port);
  const page = await Page.open(test, `http://127.0.0.1:${proxy.port}/dog.js`);
  await page.eval(CONNECT);
  await page.told(is("open"));
  return { server, proxy, page };
}

test("a killed server is found again when it is back, and what waits is sent then", async (test) => {
  const { server, proxy, page } = await start(test);
  assert.equal(await page.eval(say("hello")), true);
  await page.told(withText("hello"));
  await server.end("SIGKILL");
  const { code, opened } = await page.told(is("lost"));
  assert.deepEqual([code, opened], [1006, true]);
  assert.equal(await page.eval(say("kept")), false);
  proxy.target = (await chat(test)).port;
  await page.told(withText("kept"));
});

test("a server that shuts down is found again", async (test) => {
  const { server, proxy, page } = await start(test);
  const ended = server.end("SIGTERM");
  await page.told(({ type, code }) => type === "lost" && code === 1012);
  proxy.target = (await chat(test)).port;
  await page.told(is("open"));
  await ended;
});

test("a network that falls silent is noticed", async (test) => {
  const { proxy, page } = await start(test);
  proxy.silence();
  await page.told(({ type, opened, reason }) => type === "lost" && opened && reason === "no answer to a ping");
  await page.told(({ type, opened, reason }) => type === "lost" && !opened && reason === "the server did not answer in time");
  proxy.heal();
  await page.told(is("open"));
});

test("a tab that is frozen comes back when it wakes", async (test) => {
  const { proxy, page } = await start(test);
  await page.devtools("Page.setWebLifecycleState", { state: "frozen" });
  await page.told(is("freeze"));
  proxy.cut();
  await page.devtools("Page.setWebLifecycleState", { state: "active" });
  await page.told(is("resume"));
  assert.equal((await page.told(is("lost"))).opened, true);
  await page.told(is("open"));
  await page.eval(say("awake"));
  await page.told(withText("awake"));
});

test("a browser that was suspended notices that its connection is dead", async (test) => {
  const { proxy, page } = await start(test);
  page.signal("SIGSTOP");
  // Nobody tells the browser.
  proxy.silence();
  proxy.heal();
  page.signal("SIGCONT");
  await page.told(({ type, opened, reason }) => type === "lost" && opened && reason === "no answer to a ping");
  await page.told(is("open"));
  await page.eval(say("awake"));
  await page.told(withText("awake"));
});

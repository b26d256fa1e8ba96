// Another client: npm partysocket speaks to the chat and finds it again, because a room speaks plain WebSocket.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { packageOf } from "./kit/packages.js";
import { Proxy } from "./kit/proxy.js";
import { chat } from "./kit/server.js";
import { within } from "./kit/wait.js";

const { PartySocket } = packageOf("partysocket");
const { default: ReconnectingWebSocket } = packageOf("partysocket/ws");
const { WebSocket } = packageOf("ws");

/** The next message with this text. */
function heard(socket, text) {
  const found = new Promise((resolve) => {
    socket.addEventListener("message", ({ data }) => JSON.parse(data).text === text && resolve());
  });
  return within(`"${text}"`, found);
}

const CLIENTS = {
  "its WebSocket": (port) => new ReconnectingWebSocket(`ws://127.0.0.1:${port}/ws?u=ann`, [], { WebSocket, minReconnectionDelay: 20 }),
  "a PartySocket": (port) =>
    new PartySocket({ host: `127.0.0.1:${port}`, protocol: "ws", basePath: "ws", query: { u: "ann" }, WebSocket, minReconnectionDelay: 20 }),
};

for (const [what, connect] of Object.entries(CLIENTS)) {
  test(`${what} talks, and comes back to a server that was killed`, async (test) => {
    const server = await chat(test);
    const proxy = await Proxy.start(test, server.port);
    const socket = connect(proxy.port);
    test.after(() => socket.close());
    const say = (text) => socket.send(JSON.stringify({ type: "msg", text }));
    const hello = heard(socket, "hello");
    say("hello");
    await hello;

    const closed = once(socket, "close");
    await server.end("SIGKILL");
    await within("the close", closed);
    const [back, open] = [heard(socket, "back"), once(socket, "open")];
    proxy.target = (await chat(test)).port;
    await within("the connection", open);
    say("back");
    await back;
    assert.equal(socket.readyState, socket.OPEN);
  });
}

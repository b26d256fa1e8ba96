// What the socket decides: by close code, by position, by address. A small server does what no example does yet.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CLOSE_POLICY, ClosedError, QueueFullError } from "../dog.js";
import { Proxy } from "./kit/proxy.js";
import { Program, serve } from "./kit/server.js";
import { ReconnectingSocket } from "./kit/socket.js";
import { Events } from "./kit/wait.js";

function open(test, url, options = {}) {
  const socket = new ReconnectingSocket(url, { firstWait: 10, longestWait: 80, laterWait: 30, ...options });
  test.after(() => socket.close());
  const events = new Events(socket);
  socket.open();
  return { socket, events };
}

test("each code is followed: come back, come back later, or never", async (test) => {
  const url = await serve(test, (connection, { searchParams }) => connection.close(Number(searchParams.get("code")), "why"));
  const sendable = Object.keys(CLOSE_POLICY).filter((code) => code !== "1006");
  for (const code of [...sendable, "1005", "3000", "4003", "4999"]) {
    // npm `ws` sends a close without a code for none.
    const address = code === "1005" ? await serve(test, (connection) => connection.close()) : `${url}/?code=${code}`;
    const { socket, events } = open(test, address, { random: () => 0.5 });
    const policy = CLOSE_POLICY[code] ?? "never";
    // Without a function there is no other token.
    const end = await events.next(policy === "never" || policy === "renew" ? "closed" : "lost");
    assert.equal(end.code, Number(code));
    if (policy === "retry") assert.equal(end.wait, 5);
    if (policy === "later") assert.equal(end.wait, 30 + 15);
    socket.close();
  }
});

test("waits are any time up to a bound that doubles", async (test) => {
  const url = await serve(test, (connection) => connection.close(1011));
  const { events } = open(test, url, { random: () => 0.999, steadyAfter: 3_600_000 });
  for (const bound of [10, 20, 40, 80, 80]) assert.equal((await events.next("lost")).wait, 0.999 * bound);
});

test("a connection that has lasted begins the waits again", async (test) => {
  let life = 0;
  const url = await serve(test, (connection) => setTimeout(() => connection.close(1011), life));
  const { events } = open(test, url, { random: () => 0.999, steadyAfter: 200 });
  await events.next("lost", ({ wait }) => wait > 10);
  life = 1000;
  await events.next("lost", ({ wait }) => wait === 0.999 * 10);
});

test("a token that was refused is replaced, and the next attempt knows", async (test) => {
  const url = await serve(test, (connection, { searchParams }) => {
    if (searchParams.get("token") === "old") connection.close(4401, "the token has expired");
    else connection.send("welcome");
  });
  const asked = [];
  const { events } = open(test, async ({ renew, attempt }) => {
    asked.push([attempt, renew]);
    return `${url}/?token=${renew ? "new" : "old"}`;
  });
  assert.equal((await events.next("lost")).action, "renew");
  assert.equal((await events.next("message")).data, "welcome");
  assert.deepEqual(asked, [[0, false], [1, true]]);
});

test("an address that fails, or never comes, is asked for again; one that is wrong is not", async (test) => {
  const url = await serve(test, (connection) => connection.send("welcome"));
  const answers = [() => Promise.reject(new Error("no session")), () => new Promise(() => {}), () => ({ url })];
  const { events } = open(test, () => answers.shift()(), { connectWithin: 200 });
  assert.equal((await events.next("lost")).error.message, "no session");
  assert.equal((await events.next("lost")).reason, "the server did not answer in time");
  assert.equal((await events.next("message")).data, "welcome");

  const wrong = open(test, url, { protocols: ["not a token"] });
  assert.ok((await wrong.events.next("closed")).error instanceof SyntaxError);
});

test("subprotocols are offered, and the chosen one is named", async (test) => {
  const url = await serve(test, (connection) => connection.send(connection.protocol), {
    handleProtocols: (offered) => [...offered].at(-1),
  });
  const fixed = open(test, url, { protocols: ["json", "binary"] });
  assert.equal((await fixed.events.next("open")).protocol, "binary");
  assert.equal(fixed.socket.protocol, "binary");
  const built = open(test, () => ({ url, protocols: ["token.abc"] }));
  assert.equal((await built.events.next("message")).data, "token.abc");
});

/** A server with a log of one room, which a client joins where it says that it was. */
async function log(test, epoch) {
  const room = { epoch, first: 9_007_199_254_740_993n, entries: [], asked: [] };
  const connections = new Set();
  const entry = (text, offset) => JSON.stringify({ epoch: room.epoch, offset: `${offset}`, text });
  room.publish = (text) => {
    room.entries.push(text);
    const offset = room.first + BigInt(room.entries.length - 1);
    connections.forEach((connection) => connection.send(entry(text, offset)));
  };
  room.url = await serve(test, (connection, { searchParams }) => {
    const since = searchParams.get("since");
    room.asked.push(since);
    const [known, offset] = since?.split(":") ?? [];
    const next = known === room.epoch ? BigInt(offset) + 1n : room.first;
    room.entries.slice(Number(next - room.first)).forEach((text, index) => connection.send(entry(text, next + BigInt(index))));
    connections.add(connection);
    connection.on("close", () => connections.delete(connection));
  });
  return room;
}

const position = (data) => {
  const { epoch, offset } = JSON.parse(data);
  return { epoch, offset };
};

test("what was published meanwhile arrives once and in order, at offsets over 2^53", async (test) => {
  const room = await log(test, "e1");
  const proxy = await Proxy.start(test, Number(new URL(room.url).port));
  const { socket, events } = open(test, `ws://127.0.0.1:${proxy.port}/room?u=ann`, { position });
  await events.next("open");
  const read = [];
  const readTo = async (text) => {
    const event = await events.next("message", ({ data }) => read.push(JSON.parse(data).text) && JSON.parse(data).text === text);
    return event;
  };
  room.publish("1");
  await readTo("1");
  for (let round = 1; round <= 5; round++) {
    proxy.cut();
    await events.next("lost");
    room.publish(`${2 * round}`);
    room.publish(`${2 * round + 1}`);
    await readTo(`${2 * round + 1}`);
  }
  assert.deepEqual(read, Array.from({ length: 11 }, (_, index) => `${index + 1}`));
  assert.equal(socket.since, "e1:9007199254741003");
  assert.deepEqual(room.asked.slice(0, 3), [null, "e1:9007199254740993", "e1:9007199254740995"]);
});

test("positions are kept by topic; older ones do not count, and another epoch does", async (test) => {
  const said = [
    { epoch: "a", offset: 5 },
    { epoch: "a", offset: "4" },
    { topic: "cats", epoch: "c", offset: "9007199254740993" },
    { topic: "cats", epoch: "c", offset: 9_007_199_254_740_992n.toString() },
    null,
    { epoch: "b", offset: 1 },
  ];
  const url = await serve(test, (connection) => said.forEach((at) => connection.send(JSON.stringify(at))));
  const asked = [];
  const address = ({ since, positions }) => {
    asked.push([since, Object.fromEntries(positions)]);
    return url;
  };
  const { socket, events } = open(test, address, { position: JSON.parse });
  await events.next("message", ({ data }) => JSON.parse(data)?.epoch === "b");
  const all = { "": "b:1", cats: "c:9007199254740993" };
  assert.deepEqual(Object.fromEntries(socket.positions), all);
  socket.close();
  socket.seek(null);
  socket.seek("d:7", "dogs");
  assert.throws(() => socket.seek("nonsense"), TypeError);
  socket.open();
  await events.next("open");
  assert.deepEqual(asked, [[null, {}], [null, { cats: all.cats, dogs: "d:7" }]]);
});

test("the queue is bounded by messages and by bytes, says so, and keeps its order", async (test) => {
  const heard = [];
  const url = await serve(test, (connection) => connection.on("message", (data) => heard.push(data.toString()) && connection.send(data)));
  const socket = new ReconnectingSocket(url, { maxQueue: 3, maxQueueBytes: 10 });
  test.after(() => socket.close());
  const events = new Events(socket);
  assert.throws(() => socket.send("before it is open"), ClosedError);
  socket.open();
  const bytes = new Uint8Array([0x68, 0x69]);
  for (const data of ["ä", bytes, "cc"]) assert.equal(socket.send(data), false);
  bytes.fill(0);
  assert.throws(() => socket.send(""), (error) => {
    assert.ok(error instanceof QueueFullError);
    assert.deepEqual(error.queued, { messages: 3, bytes: 6 });
    return true;
  });
  assert.throws(() => socket.send({}), TypeError);
  socket.addEventListener("open", () => socket.send("1st"));
  await events.next("message", ({ data }) => heard.length === 4 && data);
  assert.deepEqual(heard, ["1st", "ä", "hi", "cc"]);
  assert.throws(() => socket.send("eleven byte"), QueueFullError);
  assert.equal(socket.state, "open");
});

test("what an open connection cannot take is bounded, too", async (test) => {
  const server = await Program.start(test, "DOG_RELAY", []);
  const proxy = await Proxy.start(test, server.port);
  const maxQueueBytes = 1024 * 1024;
  const { socket, events } = open(test, `ws://127.0.0.1:${proxy.port}/ws`, { maxQueueBytes });
  await events.next("open");
  proxy.silence();
  const piece = new Uint8Array(100_000);
  await assert.rejects(async () => {
    // The system takes some megabytes.
    for (let count = 0; count < 10_000; count++) {
      socket.send(piece);
      assert.ok(socket.queued.bytes <= maxQueueBytes);
      await new Promise(setImmediate);
    }
  }, QueueFullError);
  assert.equal(socket.queued.messages, 0);
});

test("bytes arrive as they were sent, text as text", async (test) => {
  const server = await Program.start(test, "DOG_RELAY", []);
  const { socket, events } = open(test, `ws://127.0.0.1:${server.port}/ws`);
  const all = Uint8Array.from({ length: 256 }, (_, value) => value);
  for (const sent of [all, all.buffer, new DataView(all.buffer, 100, 50), new Uint8Array(0)]) {
    socket.send(sent);
    const { data } = await events.next("message");
    assert.ok(data instanceof ArrayBuffer);
    const expected = ArrayBuffer.isView(sent) ? new Uint8Array(sent.buffer, sent.byteOffset, sent.byteLength) : new Uint8Array(sent);
    assert.deepEqual(new Uint8Array(data), expected);
  }
  socket.send("kühe 🐄");
  assert.equal((await events.next("message")).data, "kühe 🐄");
});

test("a connection that nobody watches still ends when a server hangs up in the handshake", async (test) => {
  const proxy = await Proxy.start(test, undefined);
  const { events } = open(test, `ws://127.0.0.1:${proxy.port}/`);
  const lost = await events.next("lost");
  assert.deepEqual([lost.code, lost.opened, lost.action], [1006, false, "retry"]);
});

test("an answer that is late because the machine slept is asked for once more", async (test) => {
  let [pings, asleep, isSilent] = [0, 0, false];
  const now = Date.now;
  test.mock.method(Date, "now", () => now() + asleep);
  const url = await serve(test, (connection) =>
    connection.on("message", () => {
      // The first ping is not answered, and its timer finds that an hour has passed.
      if (++pings === 1) asleep = 3_600_000;
      else if (!isSilent) connection.send("pong");
    }));
  const { socket, events } = open(test, url, { watch: { ping: "ping", pong: "pong", every: 10, within: 4000 } });
  socket.addEventListener("lost", () => assert.ok(isSilent, "given up while it is alive"));
  await events.next("pong");
  assert.ok(pings > 1);
  isSilent = true;
  assert.equal((await events.next("lost")).reason, "no answer to a ping");
});

// The relay on npm's `socket.io`, as one of several nodes: `node socket-io-redis.js NODE_MODULES REDIS_URL`. An event `m` of a
// socket goes to every socket of the room that the query of its handshake names, at any node, including the sender. Written like
// the example in the documentation of `@socket.io/redis-adapter`.
"use strict";
const [, , modules, url] = process.argv;
module.paths.unshift(modules);
const http = require("http");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");

async function main() {
  const publisher = createClient({ url });
  const subscriber = publisher.duplicate();
  // Without a listener, an error of a client ends the process without a message.
  for (const client of [publisher, subscriber]) {
    client.on("error", (error) => console.error(error));
  }
  await Promise.all([publisher.connect(), subscriber.connect()]);

  const server = http.createServer();
  // No polling, as in every other server here, and no pings while it is measured.
  const io = new Server(server, {
    adapter: createAdapter(publisher, subscriber),
    transports: ["websocket"],
    pingInterval: 3_600_000,
    maxHttpBufferSize: 1e7,
  });
  io.on("connection", (socket) => {
    const { room } = socket.handshake.query;
    socket.join(room);
    socket.on("m", (text) => io.to(room).emit("m", text));
  });
  server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

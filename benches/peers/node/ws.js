// The relay on npm's `ws`: `node ws.js NODE_MODULES [--compress]`. A message from a socket of `GET /ws?u=ID&room=NAME` goes to every
// socket of the room, as in examples/relay. Written like the broadcast example in the package's readme.
"use strict";
const [, , modules, ...flags] = process.argv;
module.paths.unshift(modules);
const http = require("http");
const { WebSocket, WebSocketServer } = require("ws");

const rooms = new Map();
const server = http.createServer((_, response) => response.writeHead(404).end());
// Without context takeover, as in the other servers. Small messages are compressed too.
const compressed = { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 };
const perMessageDeflate = flags.includes("--compress") ? compressed : false;
const sockets = new WebSocketServer({ server, path: "/ws", perMessageDeflate });

sockets.on("connection", (socket, request) => {
  const name = new URL(request.url, "http://localhost").searchParams.get("room");
  let room = rooms.get(name);
  if (room === undefined) {
    room = new Set();
    rooms.set(name, room);
  }
  room.add(socket);
  socket.on("message", (data, binary) => {
    for (const other of room) {
      if (other.readyState === WebSocket.OPEN) {
        other.send(data, { binary });
      }
    }
  });
  socket.on("close", () => {
    room.delete(socket);
    if (room.size === 0) {
      rooms.delete(name);
    }
  });
  socket.on("error", () => {});
});

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

// The relay on npm's `socket.io`: `node socket-io.js NODE_MODULES`. An event `m` of a socket goes to every socket of the room that
// the query of its handshake names, including the sender. Written like the example in the package's documentation.
"use strict";
module.paths.unshift(process.argv[2]);
const http = require("http");
const { Server } = require("socket.io");

const server = http.createServer();
// No polling, as in every other server here, and no pings while it is measured.
const io = new Server(server, { transports: ["websocket"], pingInterval: 3_600_000, maxHttpBufferSize: 1e7 });

io.on("connection", (socket) => {
  const { room } = socket.handshake.query;
  socket.join(room);
  socket.on("m", (text) => io.to(room).emit("m", text));
});

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

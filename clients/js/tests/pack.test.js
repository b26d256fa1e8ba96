// The package as others get it: packed, installed in an empty folder, imported by its name, and small.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { chat } from "./kit/server.js";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
/** The most bytes that the module may take, compressed as a server would. README.md states it. */
const MOST = 4 * 1024;

/** What a user's program would do. It uses the global WebSocket. */
const PROGRAM = `
import { CLOSE_POLICY, ReconnectingSocket } from "durable-object-groups-client";
const socket = new ReconnectingSocket(process.argv[2]);
socket.addEventListener("message", ({ data }) => {
  if (JSON.parse(data).text !== "hello") return;
  socket.close();
  console.log("heard", CLOSE_POLICY[1013]);
  process.exit();
});
socket.open();
socket.send(JSON.stringify({ type: "msg", text: "hello" }));
`;

test("the module is small", () => {
  const bytes = gzipSync(readFileSync(join(PACKAGE, "dog.js")), { level: 9 }).length;
  console.log(`dog.js takes ${bytes} of ${MOST} bytes compressed`);
  assert.ok(bytes <= MOST, `${bytes} bytes`);
});

test("the packed package works where nothing else is installed", async (test) => {
  const folder = mkdtempSync(join(tmpdir(), "dog-pack-"));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  const run = (program, ...args) => execFileSync(program, args, { cwd: folder, encoding: "utf8", timeout: 60_000 });
  const [packed] = JSON.parse(run("npm", "pack", PACKAGE, "--json"));
  const files = packed.files.map(({ path }) => path).sort();
  assert.deepEqual(files, ["LICENSE", "README.md", "dog.d.ts", "dog.js", "package.json"]);
  writeFileSync(join(folder, "package.json"), '{"private":true,"type":"module"}');
  run("npm", "install", "--offline", "--no-audit", "--no-fund", `./${packed.filename}`);
  writeFileSync(join(folder, "program.js"), PROGRAM);
  const server = await chat(test);
  const heard = run("node", "--experimental-websocket", "program.js", `ws://127.0.0.1:${server.port}/ws?u=ann`);
  assert.equal(heard, "heard later\n");
});

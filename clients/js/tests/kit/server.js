// The servers of the tests: programs of this repository, and a small one that does what no example does.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import { packageOf } from "./packages.js";
import { within } from "./wait.js";

const { WebSocketServer } = packageOf("ws");

/** A program that serves, killed when the test ends. */
export class Program {
  #child;
  port;

  /** @param name The variable that names the program, such as `DOG_CHAT`. */
  static async start(test, name, args) {
    const program = new Program();
    const path = process.env[name];
    if (!path) throw new Error(`${name} names no program: run \`cargo xtask test clients\``);
    program.#child = spawn(path, ["--listen", "127.0.0.1:0", ...args], { stdio: ["ignore", "pipe", "inherit"] });
    test.after(() => program.end("SIGKILL"));
    const lines = createInterface({ input: program.#child.stdout });
    const address = new Promise((resolve, reject) => {
      lines.on("line", (line) => {
        const port = /^listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1];
        if (port) resolve(Number(port));
      });
      program.#child.once("exit", (code) => reject(new Error(`${path} ended with ${code}`)));
    });
    program.port = await within(`${path} to listen`, address);
    return program;
  }

  /** Sends a signal, and waits until the process has ended. */
  async end(signal) {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await within(`the server's end after ${signal}`, ended);
  }
}

/** The chat with an open door. */
export const chat = (test, ...args) => Program.start(test, "DOG_CHAT", ["--open", ...args]);

/** A server whose connections are handled by `serve(connection, url, request)`. Returns its address. */
export async function serve(test, serve, options = {}) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, ...options });
  test.after(() => {
    server.clients.forEach((client) => client.terminate());
    server.close();
  });
  server.on("connection", (connection, request) => {
    connection.on("error", () => {});
    serve(connection, new URL(request.url, "ws://127.0.0.1"), request);
  });
  await once(server, "listening");
  return `ws://127.0.0.1:${server.address().port}`;
}

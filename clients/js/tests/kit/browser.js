// Headless Chromium, driven through the DevTools protocol over pipes.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { within } from "./wait.js";

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--remote-debugging-pipe",
];

/** One page in its own browser. */
export class Page {
  /** Signals all processes of the browser. */
  signal;
  #pipe;
  #calls = new Map();
  #session;
  #bindings = [];
  #waiting = null;

  static async open(test, url) {
    const profile = mkdtempSync(join(tmpdir(), "dog-browser-"));
    const child = spawn("chromium", [...ARGUMENTS, `--user-data-dir=${profile}`], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
      // A process group of its own.
      detached: true,
    });
    const ended = once(child, "exit");
    const page = new Page();
    page.signal = (signal) => process.kill(-child.pid, signal);
    page.#pipe = child.stdio[3];
    // A browser that ends closes its pipes.
    page.#pipe.on("error", () => {});
    page.#read(child.stdio[4]);
    test.after(async () => {
      page.signal("SIGKILL");
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
    });
    const { targetId } = await page.#call("Target.createTarget", { url: "about:blank" });
    page.#session = (await page.#call("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    await page.devtools("Page.enable");
    await page.devtools("Runtime.enable");
    await page.devtools("Runtime.addBinding", { name: "tell" });
    const loaded = page.#event("Page.loadEventFired");
    await page.devtools("Page.navigate", { url });
    await within(`the page ${url}`, loaded);
    return page;
  }

  /** A command of the DevTools protocol, for this page. */
  devtools(method, params = {}) {
    return this.#call(method, params, this.#session);
  }

  /** The value of an expression, which may be a promise. */
  async eval(expression) {
    const { result, exceptionDetails } = await this.devtools("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** The next thing that the page tells with `tell(JSON.stringify(what))`, if it is accepted. Drops those before. */
  told(accepts) {
    const found = (async () => {
      for (;;) {
        while (this.#bindings.length) {
          const told = JSON.parse(this.#bindings.shift());
          if (accepts(told)) return told;
        }
        await new Promise((resolve) => (this.#waiting = resolve));
      }
    })();
    return within(`the page to tell ${accepts}`, found);
  }

  #call(method, params, sessionId) {
    const id = this.#calls.size + 1;
    const answer = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
    this.#pipe.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return within(`an answer to ${method}`, answer);
  }

  #event(method) {
    return new Promise((resolve) => this.#calls.set(method, { resolve }));
  }

  #read(pipe) {
    let rest = "";
    pipe.setEncoding("utf8").on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop();
      messages.map((message) => JSON.parse(message)).forEach((message) => this.#hear(message));
    });
  }

  #hear({ id, method, params, result, error }) {
    if (error) return this.#calls.get(id).reject(new Error(error.message));
    this.#calls.get(id ?? method)?.resolve(result ?? params);
    if (method === "Runtime.bindingCalled") {
      this.#bindings.push(params.payload);
      this.#waiting?.();
    }
  }
}

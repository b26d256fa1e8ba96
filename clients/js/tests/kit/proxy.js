// A network that can be cut: every byte between the clients and a server goes through it.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** Its port stays the same, whatever happens to the server behind it. */
export class Proxy {
  #pairs = new Set();
  #isSilent = false;
  #server;
  /** Where the server listens now. Without one, connections end at once. */
  target;
  port;

  static async start(test, target) {
    const proxy = new Proxy();
    proxy.target = target;
    proxy.#server = createServer({ pauseOnConnect: true }, (client) => proxy.#pair(client));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    proxy.port = proxy.#server.address().port;
    test.after(() => {
      proxy.#server.close();
      proxy.cut();
    });
    return proxy;
  }

  /** Nothing passes any more in either direction, and nobody is told. New connections are accepted, and nothing passes there. */
  silence() {
    this.#isSilent = true;
    for (const pair of this.#pairs) pair.forEach((end) => end.unpipe().pause());
  }

  /** New connections work again. Those that were silenced stay silent. */
  heal() {
    this.#isSilent = false;
  }

  /** Every connection breaks. */
  cut() {
    for (const pair of this.#pairs) pair.forEach((end) => end.destroy());
  }

  #pair(client) {
    const pair = this.target && !this.#isSilent ? [client, connect(this.target, "127.0.0.1")] : [client];
    this.#pairs.add(pair);
    for (const end of pair) {
      end.on("error", () => {});
      end.on("close", () => {
        this.#pairs.delete(pair);
        pair.forEach((other) => other.destroy());
      });
    }
    if (pair.length === 2) pair.forEach((end, index) => end.pipe(pair[1 - index]));
    else if (!this.#isSilent) client.destroy();
  }
}

// Waiting for events, and never for the clock.

/** Far longer than anything here takes, so that a busy machine fails no test. */
const DEADLINE = 60_000;

/** The outcome of a promise. `what` says in a failure what was waited for. */
export async function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${DEADLINE / 1000} s for ${what}`)), DEADLINE);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

const TYPES = ["connecting", "open", "message", "pong", "lost", "closed"];

/** Keeps the events of a socket, so that none is missed. */
export class Events {
  #kept = [];
  #waiting = null;

  constructor(socket) {
    for (const type of TYPES) {
      socket.addEventListener(type, (event) => {
        this.#kept.push(event);
        this.#waiting?.();
      });
    }
  }

  /** The next event of this type that is accepted. It drops those before. */
  next(type, accepts = () => true) {
    const found = (async () => {
      for (;;) {
        while (this.#kept.length) {
          const event = this.#kept.shift();
          if (event.type === type && accepts(event)) return event;
        }
        await new Promise((resolve) => (this.#waiting = resolve));
      }
    })();
    return within(`an event ${type}`, found);
  }

  /** The next message of the chat with this `type`, as an object. */
  async said(type, accepts = () => true) {
    const matches = (message) => message.type === type && accepts(message);
    const event = await this.next("message", ({ data }) => matches(JSON.parse(data)));
    return JSON.parse(event.data);
  }
}

// A WebSocket that comes back: `dog.d.ts` says what everything promises.

/** What a close code asks a client to do. Codes that are not here: "never". */
export const CLOSE_POLICY = Object.freeze({
  1000: "never", // the conversation is over
  1001: "retry", // the server goes away
  1002: "never", // the client broke the protocol
  1003: "never", // this kind of message is not taken
  1006: "retry", // the connection broke
  1007: "never", // text that is not UTF-8
  1008: "never", // against the rules of the server
  1009: "never", // a message over the limit
  1011: "retry", // a handler failed
  1012: "retry", // the server restarts
  1013: "later", // the client was too slow, or there is no room
  1014: "retry", // a gateway has no server at the moment
  4401: "renew", // the token is missing, not valid or too old
  4403: "never", // this page, or this client, is not admitted
});

/** The message was not taken, because too much waits already. */
export class QueueFullError extends Error {
  name = "QueueFullError";
  constructor(bytes, queued) {
    super(`the message of ${bytes} bytes was not taken: ${queued.messages} messages with ${queued.bytes} bytes wait already`);
    this.queued = queued;
  }
}

/** The message was not taken, because the socket is closed and does not come back. */
export class ClosedError extends Error {
  name = "ClosedError";
  constructor() {
    super("the message was not taken: the socket is closed");
  }
}

const DEFAULTS = {
  protocols: [],
  binaryType: "arraybuffer",
  closePolicy: {},
  firstWait: 500,
  longestWait: 30_000,
  laterWait: 5_000,
  steadyAfter: 5_000,
  connectWithin: 10_000,
  maxQueue: 100,
  maxQueueBytes: 256 * 1024,
  watch: null,
  position: null,
  random: Math.random,
};
const WATCH = { every: 25_000, within: 10_000 };
const LOST = 1006;

export class ReconnectingSocket extends EventTarget {
  #url;
  #options;
  #state = "closed";
  #socket = null;
  #attempt = 0;
  #renew = false;
  #retryAt = 0;
  #queue = [];
  #queuedBytes = 0;
  #positions = new Map();
  /** The end of an attempt to connect, of a wait, or of the first seconds of a connection. */
  #timer;
  #watchTimer;
  #pingAt = null;
  #pingStart = 0;
  #isLastPing = false;
  #listening = null;

  constructor(url, options = {}) {
    super();
    this.#url = url;
    this.#options = { ...DEFAULTS, WebSocket: globalThis.WebSocket, ...options };
    if (this.#options.watch) this.#options.watch = { ...WATCH, ...this.#options.watch };
    if (!this.#options.WebSocket) throw new TypeError("there is no WebSocket here: pass a class in the option `WebSocket`");
    options.signal?.addEventListener("abort", () => this.close(), { once: true });
  }

  get state() {
    return this.#state;
  }

  get protocol() {
    return this.#socket?.protocol ?? "";
  }

  get retryAt() {
    return this.#state === "waiting" ? this.#retryAt : null;
  }

  get queued() {
    const sending = this.#state === "open" ? this.#socket.bufferedAmount : 0;
    return { messages: this.#queue.length, bytes: this.#queuedBytes + sending };
  }

  get since() {
    return this.positions.get("") ?? null;
  }

  get positions() {
    return new Map([...this.#positions].map(([topic, { epoch, offset }]) => [topic, `${epoch}:${offset}`]));
  }

  seek(position, topic = "") {
    if (position === null) return void this.#positions.delete(topic);
    const [, epoch, offset] = /^([\w-]{1,32}):(\d{1,16})$/.exec(position) ?? [];
    if (!epoch) throw new TypeError("a position is written as epoch:offset");
    this.#positions.set(topic, { epoch, offset: BigInt(offset) });
  }

  open() {
    if (this.#state === "connecting" || this.#state === "open") return;
    this.#options.signal?.throwIfAborted();
    if (this.#state === "closed") this.#begin();
    this.#connect();
  }

  close(code = 1000, reason = "") {
    if (this.#state === "closed") return;
    // It throws if the code is not one that a client may send: then nothing has happened.
    this.#socket?.close(code, reason);
    this.#end({ code, reason, opened: this.#state === "open", byClient: true });
  }

  send(data) {
    const bytes = sizeOf(data);
    if (this.#state === "closed") throw new ClosedError();
    const { maxQueue, maxQueueBytes } = this.#options;
    const { queued } = this;
    const isOpen = this.#state === "open" && this.#socket.readyState === 1;
    if (queued.bytes + bytes > maxQueueBytes || (!isOpen && queued.messages >= maxQueue)) {
      throw new QueueFullError(bytes, queued);
    }
    if (isOpen) {
      this.#socket.send(data);
    } else {
      this.#queue.push({ data: copyOf(data), bytes });
      this.#queuedBytes += bytes;
    }
    return isOpen;
  }

  ping() {
    const can = this.#state === "open" && this.#options.watch !== null;
    if (can) this.#ping(false);
    return can;
  }

  #emit(type, fields) {
    this.dispatchEvent(Object.assign(new Event(type), fields));
  }

  #begin() {
    this.#attempt = 0;
    this.#renew = false;
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    const wake = () => this.#wake(false);
    globalThis.addEventListener?.("online", () => this.#wake(true), { signal });
    globalThis.addEventListener?.("pageshow", wake, { signal });
    globalThis.document?.addEventListener("resume", wake, { signal });
    globalThis.document?.addEventListener("visibilitychange", () => document.hidden || wake(), { signal });
  }

  async #connect() {
    clearTimeout(this.#timer);
    this.#state = "connecting";
    const mine = (this.#timer = setTimeout(
      () => this.#lost({ code: LOST, reason: "the server did not answer in time" }),
      this.#options.connectWithin,
    ));
    const isOver = () => this.#timer !== mine;
    this.#emit("connecting", { attempt: this.#attempt });
    let target;
    try {
      target = await this.#target();
    } catch (error) {
      if (!isOver()) this.#lost({ code: LOST, reason: "there is no address", error });
      return;
    }
    if (isOver()) return;
    try {
      this.#use(new this.#options.WebSocket(target.url, target.protocols));
    } catch (error) {
      // The address is wrong, and is so the next time.
      this.#end({ code: LOST, reason: String(error), opened: false, error });
    }
  }

  /** Where to connect to: `{ url, protocols }`. */
  async #target() {
    const { protocols } = this.#options;
    const { since, positions } = this;
    const isBuilt = typeof this.#url === "function";
    const given = isBuilt
      ? await this.#url({ attempt: this.#attempt, renew: this.#renew, since, positions })
      : this.#url;
    const target = typeof given === "string" || given instanceof URL ? { url: given } : given;
    const url = new URL(target.url, globalThis.location?.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    if (!isBuilt && since) url.searchParams.set("since", since);
    return { url: url.href, protocols: target.protocols ?? protocols };
  }

  #use(socket) {
    this.#socket = socket;
    socket.binaryType = this.#options.binaryType;
    // A socket that was given up may still call: it is not `#socket` any more.
    const ifMine = (then) => (event) => socket === this.#socket && then(event);
    socket.onopen = ifMine(() => this.#opened());
    socket.onmessage = ifMine(({ data }) => this.#heard(data));
    socket.onclose = ifMine(({ code, reason }) => this.#lost({ code, reason }));
    // The close that follows says what is known. In node, an error that nobody hears ends the process.
    socket.onerror = () => {};
  }

  #opened() {
    const socket = this.#socket;
    clearTimeout(this.#timer);
    this.#state = "open";
    this.#renew = false;
    // A server that ends every connection at once must not be asked at full speed.
    this.#timer = setTimeout(() => (this.#attempt = 0), this.#options.steadyAfter);
    this.#watchNext();
    this.#emit("open", { protocol: socket.protocol });
    const queue = this.#queue;
    while (queue.length && socket === this.#socket && socket.readyState === 1) {
      const { data, bytes } = queue.shift();
      this.#queuedBytes -= bytes;
      socket.send(data);
    }
  }

  #heard(data) {
    const { watch, position } = this.#options;
    if (this.#pingAt !== null) this.#watchNext();
    if (watch && data === watch.pong) return this.#emit("pong", { roundTrip: performance.now() - this.#pingStart });
    this.#emit("message", { data });
    const at = position?.(data);
    if (!at) return;
    const topic = at.topic ?? "";
    const [offset, known] = [BigInt(at.offset), this.#positions.get(topic)];
    if (known?.epoch === at.epoch && known.offset >= offset) return;
    this.#positions.set(topic, { epoch: at.epoch, offset });
  }

  /** The connection is gone, or given up. */
  #lost(end) {
    end = { opened: this.#state === "open", ...end };
    const { closePolicy, firstWait, longestWait, laterWait, random } = this.#options;
    let action = closePolicy[end.code] ?? CLOSE_POLICY[end.code] ?? "never";
    // Only a function has another token.
    if (action === "renew" && typeof this.#url !== "function") action = "never";
    if (action === "never") return this.#end(end);
    this.#drop();
    this.#renew ||= action === "renew";
    // Full jitter: any time up to a bound that doubles, so that a thousand pages do not come back in the same moment.
    const bound = Math.min(longestWait, firstWait * 2 ** this.#attempt++);
    const wait = action === "later" ? laterWait + random() * Math.max(bound, laterWait) : random() * bound;
    this.#retryAt = Date.now() + wait;
    this.#state = "waiting";
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#emit("lost", { ...end, action, wait, retryAt: this.#retryAt });
  }

  #end(end) {
    this.#drop();
    this.#listening.abort();
    const unsent = this.#queue.map(({ data }) => data);
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#state = "closed";
    this.#emit("closed", { byClient: false, ...end, unsent });
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    clearTimeout(this.#timer);
    clearTimeout(this.#watchTimer);
    this.#timer = this.#pingAt = null;
    socket?.close();
  }

  /** The page was hidden, asleep or offline. What its timers say is old. */
  #wake(isOnline) {
    if (this.#state === "waiting" && (isOnline || Date.now() >= this.#retryAt)) this.#connect();
    this.ping();
  }

  #watchNext() {
    clearTimeout(this.#watchTimer);
    this.#pingAt = null;
    if (this.#options.watch) this.#watchTimer = setTimeout(() => this.#ping(false), this.#options.watch.every);
  }

  #ping(isLast) {
    const { ping, within } = this.#options.watch;
    clearTimeout(this.#watchTimer);
    this.#isLastPing = isLast;
    this.#pingAt = Date.now();
    this.#pingStart = performance.now();
    this.#watchTimer = setTimeout(() => this.#unanswered(), within);
    this.#socket.send(typeof ping === "function" ? ping() : ping);
  }

  #unanswered() {
    const { within } = this.#options.watch;
    // A timer that is this late has slept, and the answer may have come meanwhile: one more question.
    if (!this.#isLastPing && Date.now() - this.#pingAt > 2 * within) return this.#ping(true);
    this.#lost({ code: LOST, reason: "no answer to a ping" });
  }
}

function sizeOf(data) {
  if (typeof data === "string") return new TextEncoder().encode(data).length;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return data.byteLength;
  throw new TypeError("a message is a string, an ArrayBuffer or a view of one");
}

/** What is queued must not change when its owner uses the bytes again. */
function copyOf(data) {
  if (typeof data === "string") return data;
  return ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice() : data.slice(0);
}

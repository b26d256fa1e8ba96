/** What a close code asks a client to do. */
export type ClosePolicy =
  /** Come back, with backoff. */
  | "retry"
  /** Come back, but not in the next seconds. */
  | "later"
  /** Get another token, then come back. Only an address that is a function can do that; otherwise it is `never`. */
  | "renew"
  /** Do not come back: the same again would end the same. */
  | "never";

/**
 * The policy for the codes that servers of Durable Object Groups send, and for those of the browser. A code that is not in it
 * is `never`: an application that sends codes of its own (4000 to 4999) names those after which clients shall come back in
 * {@link Options.closePolicy}.
 */
export const CLOSE_POLICY: Readonly<Record<number, ClosePolicy>>;

/** What a WebSocket takes without waiting for anything. */
export type Data = string | ArrayBuffer | ArrayBufferView;

/** How much waits to be sent. */
export interface Queued {
  /** The messages that wait for a connection. */
  readonly messages: number;
  /** Their bytes, and those that the open connection has not sent yet. */
  readonly bytes: number;
}

/** The message was not taken, because too much waits already. */
export class QueueFullError extends Error {
  readonly name: "QueueFullError";
  readonly queued: Queued;
}

/** The message was not taken, because the socket is closed and does not come back by itself. */
export class ClosedError extends Error {
  readonly name: "ClosedError";
}

/** Where a publication stands in the log of its topic. */
export interface Position {
  /** The topic. Default: `""`, the room. */
  topic?: string;
  /** The epoch of the log: 1 to 32 characters. */
  epoch: string;
  /** The offset, up to 16 digits. A `number` is exact up to 2^53 only, so servers send it as text. */
  offset: string | number | bigint;
}

/** What the next connection is for. */
export interface Attempt {
  /** The attempts since the last connection that lasted, 0 for the first. */
  readonly attempt: number;
  /** The server has refused the last token: get another one. */
  readonly renew: boolean;
  /** The newest position in the room as `epoch:offset`, or `null` if none is known. */
  readonly since: string | null;
  /** The same for all topics. */
  readonly positions: ReadonlyMap<string, string>;
}

/** Where to connect to. `http:` is read as `ws:`, and in a page the address may be relative. */
export type Target = string | URL | { url: string | URL; protocols?: string | string[] };

/** How a dead connection is noticed. */
export interface Watch {
  /** What is asked, for example the request of `Replica::AUTO_RESPONSE`. A function is called for each ping. */
  ping: Data | (() => Data);
  /**
   * The answer to it. A message with exactly this text becomes an event `pong` and is no event `message`. Without it, any
   * message counts as an answer, and all of them are events `message`.
   */
  pong?: string;
  /** Milliseconds from one answer to the next ping. Default: 25,000. */
  every?: number;
  /** Milliseconds in which something has to arrive after a ping. Default: 10,000. */
  within?: number;
}

export interface Options {
  /** The subprotocols to offer. Default: none. An address that is a function may return others. */
  protocols?: string | string[];
  /** What binary messages arrive as. Default: `"arraybuffer"`. */
  binaryType?: BinaryType;
  /** Policies that differ from {@link CLOSE_POLICY}, by code. */
  closePolicy?: Readonly<Record<number, ClosePolicy>>;
  /** The longest wait before the first attempt to come back, in milliseconds; it doubles with each attempt. Default: 500. */
  firstWait?: number;
  /** Where the doubling ends, in milliseconds. Default: 30,000. */
  longestWait?: number;
  /** The shortest wait under the policy `later`, in milliseconds. Default: 5,000. */
  laterWait?: number;
  /** A connection that lasts this long counts as a success, and waits begin from {@link firstWait} again. Default: 5,000. */
  steadyAfter?: number;
  /** Milliseconds in which a connection has to open, the address included. Default: 10,000. */
  connectWithin?: number;
  /** The most messages that wait for a connection. Default: 100. */
  maxQueue?: number;
  /** The most bytes that wait, for a connection or in it. Default: 262,144 (256 KiB). */
  maxQueueBytes?: number;
  /** How a dead connection is noticed. Default: `null`, which leaves it to the browser and may take minutes. */
  watch?: Watch | null;
  /** Reads the position from a message, after its event `message`. Return nothing for a message without one. */
  position?: ((data: any) => Position | null | undefined) | null;
  /** Closes the socket when it is aborted. */
  signal?: AbortSignal;
  /** The class that makes connections. Default: the global `WebSocket`. In an older node: the one of npm `ws`. */
  WebSocket?: new (url: string, protocols?: string | string[]) => any;
  /** Returns a number from 0 to 1, excluding 1, for the waits. Default: `Math.random`. */
  random?: () => number;
}

/** How a connection ended. */
export interface End {
  /** The close code; 1006 if there was none. */
  readonly code: number;
  /** The reason beside it. Often empty. */
  readonly reason: string;
  /** Whether the connection was open. One that was refused was not. */
  readonly opened: boolean;
  /** What the function for the address threw, or what the `WebSocket` said of the address. */
  readonly error?: unknown;
}

export interface ReconnectingSocketEventMap {
  /** A connection is tried. */
  connecting: Event & { readonly attempt: number };
  /** It is open. What listeners send goes before what waits in the queue. */
  open: Event & { readonly protocol: string };
  /** A message. Binary ones are what {@link Options.binaryType} says. */
  message: Event & { readonly data: any };
  /** The answer to a ping, and how many milliseconds it took. */
  pong: Event & { readonly roundTrip: number };
  /** The connection ended, and the next attempt is made after `wait` milliseconds, at `retryAt` (as `Date.now()` counts). */
  lost: Event & End & {
    readonly action: Exclude<ClosePolicy, "never">;
    readonly wait: number;
    readonly retryAt: number;
  };
  /** It is over, until somebody calls `open`. `unsent` are the messages that were never handed to a connection. */
  closed: Event & End & { readonly byClient: boolean; readonly unsent: readonly Data[] };
}

/**
 * A WebSocket that comes back, until a close code or {@link close} says that it shall not.
 *
 * A message is handed to one connection, once: what was in flight when a connection broke may have arrived or not.
 *
 * ```js
 * const room = new ReconnectingSocket("/ws?u=ann", { watch: { ping: "ping", pong: "pong" } });
 * room.addEventListener("message", ({ data }) => console.log(data));
 * room.open();
 * room.send("hello"); // waits for the connection
 * ```
 */
export class ReconnectingSocket extends EventTarget {
  /**
   * Does not connect yet: add listeners, then call {@link open}.
   *
   * @param url Where to connect to. A function is called for each attempt, and may be async. To any other address the module
   *   adds `since=epoch:offset` once it knows a position in the room.
   */
  constructor(url: string | URL | ((attempt: Attempt) => Target | Promise<Target>), options?: Options);

  /** `closed` also before the first {@link open}. */
  readonly state: "connecting" | "open" | "waiting" | "closed";
  /** The subprotocol that the server has chosen; `""` without one, or without a connection. */
  readonly protocol: string;
  /** When the next attempt is made (as `Date.now()` counts), or `null` while none is waited for. */
  readonly retryAt: number | null;
  /** How much waits to be sent. */
  readonly queued: Queued;
  /** The newest position in the room as `epoch:offset`, or `null`. */
  readonly since: string | null;
  /** The newest position of each topic. */
  readonly positions: Map<string, string>;

  /** Sets the position of a topic, for example one that a page has stored; `null` forgets it. */
  seek(position: string | null, topic?: string): void;

  /** Connects now, whatever the wait. Does nothing while a connection is open or tried. Throws the signal's reason if that is aborted. */
  open(): void;

  /** Ends the connection, after what was sent, and does not come back. The event `closed` is dispatched before it returns. */
  close(code?: number, reason?: string): void;

  /**
   * Hands the message to the connection, and returns `true`. While there is none, keeps it for the next one, and returns
   * `false`; bytes are copied.
   *
   * @throws {QueueFullError} Too much waits already. Nothing of the message was kept.
   * @throws {ClosedError} The state is `closed`.
   */
  send(data: Data): boolean;

  /** Asks now whether the connection is alive, as {@link Options.watch} says. Returns whether there was one to ask. */
  ping(): boolean;

  addEventListener<K extends keyof ReconnectingSocketEventMap>(
    type: K,
    listener: (this: ReconnectingSocket, event: ReconnectingSocketEventMap[K]) => any,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof ReconnectingSocketEventMap>(
    type: K,
    listener: (this: ReconnectingSocket, event: ReconnectingSocketEventMap[K]) => any,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | EventListenerOptions): void;
}

// What cannot be said in Rust, or costs less here: the base class of the exported classes, and loops over what the
// runtime holds.
import { DurableObject } from "cloudflare:workers";
import * as exports from "../../../index.js";

// The runtime lets objects call each other's methods only on classes that extend its own.
export function adopt() {
  for (const name of Object.keys(exports)) {
    const exported = exports[name];
    if (typeof exported === "function" && exported.prototype && "dogCall" in exported.prototype) {
      Object.setPrototypeOf(exported.prototype, DurableObject.prototype);
      Object.setPrototypeOf(exported, DurableObject);
    }
  }
}

// Futures look once how they get their turns. The runtime's own queueMicrotask makes an object for each call, and costs
// many times what a promise's `then` does, which they take where it is missing: so it is, for that moment.
export function hideQueueMicrotask() {
  const hidden = globalThis.queueMicrotask;
  globalThis.queueMicrotask = undefined;
  return hidden;
}

export function showQueueMicrotask(hidden) {
  globalThis.queueMicrotask = hidden;
}

// Sends one message to the sockets with these numbers: one call from Rust for all of them. Gives how many took it: none
// that is closing, though the runtime has not told of it yet.
export function sendToAll(sockets, numbers, message) {
  let taken = 0;
  for (let at = 0; at < numbers.length; at++) {
    const socket = sockets.get(numbers[at]);
    if (socket === undefined || socket.readyState !== WebSocket.OPEN) continue;
    try {
      socket.send(message);
      taken++;
    } catch {}
  }
  return taken;
}

// Headers as lines, a name and a value in turn: neither can hold a line feed. One text costs less than an entry each.
function toLines(headers) {
  let lines = "";
  for (const [name, value] of headers) lines += `\n${name}\n${value}`;
  return lines;
}

function fromLines(lines) {
  const headers = new Headers();
  const words = lines.split("\n");
  for (let at = 1; at + 1 < words.length; at += 2) headers.append(words[at], words[at + 1]);
  return headers;
}

// The method, the URL and the headers of a request.
export function requestToLines(request) {
  return `${request.method}\n${request.url}${toLines(request.headers)}`;
}

// The headers of a response.
export function responseToLines(response) {
  return toLines(response.headers);
}

// A redirect is the user's answer, to be handed on.
export function requestFromLines(method, url, lines, body) {
  return new Request(url, { method, headers: fromLines(lines), body, redirect: "manual" });
}

export function responseFromLines(status, lines, body, webSocket) {
  return new Response(body, { status, headers: fromLines(lines), webSocket });
}

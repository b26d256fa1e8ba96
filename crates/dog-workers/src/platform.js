// What Rust cannot do, or what is faster here: the base class of the exported classes, and loops over objects of the
// runtime.
import { DurableObject } from "cloudflare:workers";
import * as exports from "../../../index.js";

// The runtime lets objects call methods only of classes that extend DurableObject.
export function adopt() {
  for (const name of Object.keys(exports)) {
    const exported = exports[name];
    if (typeof exported === "function" && exported.prototype && "dogCall" in exported.prototype) {
      Object.setPrototypeOf(exported.prototype, DurableObject.prototype);
      Object.setPrototypeOf(exported, DurableObject);
    }
  }
}

// wasm-bindgen-futures decides once how it schedules tasks. The queueMicrotask of the runtime creates an object per call and is
// many times slower than `then` of a promise, which is used if queueMicrotask is missing. So it is hidden at that moment.
export function hideQueueMicrotask() {
  const hidden = globalThis.queueMicrotask;
  globalThis.queueMicrotask = undefined;
  return hidden;
}

export function showQueueMicrotask(hidden) {
  globalThis.queueMicrotask = hidden;
}

// Sends one message to the sockets with these numbers, in one call from Rust. Returns how many accepted it. A socket that is
// closing is not counted, even if the runtime has not reported its end yet.
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

// Headers as lines: a name, then its value. Neither can contain a line feed. One string is faster than a call per header.
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

// A redirect is a response of the App, so it is not followed.
export function requestFromLines(method, url, lines, body) {
  return new Request(url, { method, headers: fromLines(lines), body, redirect: "manual" });
}

export function responseFromLines(status, lines, body, webSocket) {
  return new Response(body, { status, headers: fromLines(lines), webSocket });
}

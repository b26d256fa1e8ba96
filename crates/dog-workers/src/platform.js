// What cannot be said in Rust: the base class of the exported classes, and globals that may be missing.
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

// The socket with the class of npm `ws`: the global WebSocket of node 20 is an experiment, and does not tell when a server hangs up
// during the handshake. `pack.test.js` uses the global one, and `browser.test.js` that of a browser.

import * as dog from "../../dog.js";
import { packageOf } from "./packages.js";

const { WebSocket } = packageOf("ws");

export class ReconnectingSocket extends dog.ReconnectingSocket {
  constructor(url, options = {}) {
    super(url, { WebSocket, ...options });
  }
}

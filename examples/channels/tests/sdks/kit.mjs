// What the stories of JavaScript clients share: the server, its API, tokens, and what a client says in order.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const require = createRequire(join(process.env.DOG_CENTRIFUGE, 'package.json'));
export const clients = { json: require('centrifuge').Centrifuge, protobuf: require('centrifuge/build/protobuf').Centrifuge };
export const websocket = require('ws');
export const eventsource = require('eventsource');

const SECRET = 'a secret for tests that nobody else can guess';
const KEY = 'the key of the tests';

// A folder with the configuration of servers, whose channels are these.
export class Configuration {
  #folder = mkdtempSync(join(tmpdir(), 'channels-'));

  constructor(channel, more = {}) {
    this.file = join(this.#folder, 'config.json');
    const client = { token: { hmac_secret_key: SECRET } };
    writeFileSync(this.file, JSON.stringify({ client, http_api: { key: KEY }, channel, ...more }));
  }

  delete() {
    rmSync(this.#folder, { recursive: true });
  }
}

// One server, or one node.
export class Server {
  // Starts it, and waits until it listens.
  static async start(configuration, address = '127.0.0.1:0', more = []) {
    const server = new Server();
    server.process = spawn(process.env.DOG_CHANNELS, ['--config', configuration.file, '--listen', address, ...more], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    server.address = await new Promise((resolve, reject) => {
      let output = '';
      server.process.stdout.on('data', (data) => {
        output += data;
        const found = output.match(/listening on http:\/\/(127\.0\.0\.1:\d+)/);
        if (found) resolve(found[1]);
      });
      server.process.on('exit', (code) => reject(new Error(`the server has ended with ${code}`)));
    });
    return server;
  }

  // Kills it, and waits until it is gone.
  async kill() {
    this.process.removeAllListeners('exit');
    const dead = new Promise((resolve) => this.process.on('exit', resolve));
    this.process.kill('SIGKILL');
    await dead;
  }

  endpoint() {
    return `ws://${this.address}/connection/websocket`;
  }

  // Calls a method of the API for backends, with another key if one is given.
  request(method, body, key = KEY) {
    return fetch(`http://${this.address}/api/${method}`, {
      method: 'POST', headers: { 'X-API-Key': key }, body: JSON.stringify(body),
    });
  }

  async api(method, body) {
    const response = await this.request(method, body);
    assert.equal(response.status, 200);
    return response.json();
  }
}

export function token(claims) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`;
  return `${head}.${createHmac('sha256', SECRET).update(head).digest('base64url')}`;
}

// All that an emitter says of some kinds, to be awaited in order.
export function listen(emitter, kinds) {
  const heard = [];
  let wake = () => {};
  for (const kind of kinds) emitter.on(kind, (context) => { heard.push({ kind, ...context }); wake(); });
  return async function next() {
    while (heard.length === 0) await new Promise((resolve) => { wake = resolve; });
    return heard.shift();
  };
}

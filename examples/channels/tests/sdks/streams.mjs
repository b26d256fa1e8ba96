// What JavaScript clients see of the server that cannot open a WebSocket: they read a stream, and speak in requests of their own, which
// here go to the other node of a cluster.
//
// `node --test streams.mjs`, with DOG_CENTRIFUGE, DOG_CHANNELS and DOG_NATS as for cluster.mjs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Configuration, Server, clients, eventsource, listen, token } from './kit.mjs';

const permissions = { allow_subscribe_for_client: true, allow_publish_for_client: true, allow_presence_for_client: true };
const configuration = new Configuration({
  without_namespace: { ...permissions, presence: true, history_size: 100, history_ttl: '300s', force_recovery: true },
}, { http_stream: { enabled: true }, sse: { enabled: true } });
const nodes = [];

before(async () => {
  for (let node = 0; node < 2; node++) {
    nodes.push(await Server.start(configuration, '127.0.0.1:0', ['--cluster', process.env.DOG_NATS]));
  }
});
after(async () => {
  for (const node of nodes) await node.kill();
  configuration.delete();
});

const api = (method, body) => nodes[0].api(method, body);
const at = (node, path) => `http://${nodes[node].address}${path}`;

for (const [transport, codec] of [['http_stream', 'json'], ['http_stream', 'protobuf'], ['sse', 'json']]) {
  const connect = (options) => new clients[codec]([{ transport, endpoint: at(0, `/connection/${transport}`) }], {
    eventsource, emulationEndpoint: at(1, '/emulation'), minReconnectDelay: 10, maxReconnectDelay: 200, ...options,
  });
  const data = (value) => codec === 'json' ? value : new TextEncoder().encode(JSON.stringify(value));
  const read = (payload) => codec === 'json' ? payload : JSON.parse(new TextDecoder().decode(payload));
  const name = `${transport}, ${codec}`;
  const room = `room-${transport}-${codec}`;

  test(`${name}: publications, remote calls, presence`, async () => {
    const client = connect({ token: token({ sub: 'ann' }) });
    const state = listen(client, ['connected']);
    const subscription = client.newSubscription(room);
    const next = listen(subscription, ['subscribed', 'publication', 'unsubscribed']);
    subscription.subscribe();
    client.connect();
    assert.equal((await state()).transport, transport);
    assert.equal((await next()).kind, 'subscribed');
    for (let n = 1; n <= 20; n++) await subscription.publish(data({ n, text: 'two\nlines' }));
    for (let n = 1; n <= 20; n++) {
      const { offset, data: payload, info } = await next();
      assert.deepEqual([offset, read(payload), info.user], [n, { n, text: 'two\nlines' }, 'ann']);
    }
    assert.deepEqual(await subscription.presenceStats(), { numClients: 1, numUsers: 1 });
    await assert.rejects(client.rpc('none', data({})), { code: 108 });
    subscription.unsubscribe();
    assert.equal((await next()).kind, 'unsubscribed');
    client.disconnect();
  });

  test(`${name}: a client that is told to come back has missed nothing`, async () => {
    const user = `back-${transport}-${codec}`;
    const client = connect({ token: token({ sub: user }) });
    const subscription = client.newSubscription(`gap-${room}`);
    const next = listen(subscription, ['subscribed', 'publication']);
    subscription.subscribe();
    client.connect();
    await next();
    await api('disconnect', { user, disconnect: { code: 3011, reason: 'force reconnect' } });
    for (let n = 1; n <= 3; n++) await api('publish', { channel: `gap-${room}`, data: { n } });
    const offsets = [];
    for (let heard = 0; heard < 4; heard++) {
      const { kind, offset, recovered, wasRecovering } = await next();
      if (kind === 'subscribed') assert.deepEqual([wasRecovering, recovered], [true, true]);
      else offsets.push(offset);
    }
    assert.deepEqual(offsets, [1, 2, 3]);
    client.disconnect();
  });

  test(`${name}: who is sent away for good is told why, and stays away`, async () => {
    const away = connect({ token: 'nonsense' });
    const refused = listen(away, ['connected', 'disconnected']);
    away.connect();
    assert.deepEqual(await refused().then(({ kind, code }) => [kind, code]), ['disconnected', 3500]);
    const user = `away-${transport}-${codec}`;
    const client = connect({ token: token({ sub: user }) });
    const next = listen(client, ['connected', 'disconnected']);
    client.connect();
    assert.equal((await next()).kind, 'connected');
    await api('disconnect', { user, disconnect: { code: 4500, reason: 'over' } });
    assert.deepEqual(await next().then(({ kind, code, reason }) => [kind, code, reason]), ['disconnected', 4500, 'over']);
  });
}

test('bad input is refused before an object is asked', async () => {
  const json = { 'content-type': 'application/json' };
  const post = (path, body, headers = json) => fetch(at(0, path), { method: 'POST', body, headers }).then(({ status }) => status);
  assert.equal(await post('/connection/http_stream', 'nonsense'), 400);
  assert.equal(await post('/connection/http_stream', '{"id":1,"subscribe":{"channel":"a"}}'), 400);
  assert.equal(await post('/connection/http_stream', `{"id":1,"connect":{"token":"${'x'.repeat(13_000)}"}}`), 413);
  assert.equal(await post('/emulation', '{"session":"none","node":"any","data":"{}"}'), 404);
  assert.equal(await post('/emulation', '[]'), 400);
  assert.equal(await post('/emulation', 'x'.repeat(200_000)), 413);
  const get = (path) => fetch(at(0, path)).then(({ status }) => status);
  assert.deepEqual([await get('/connection/http_stream'), await get('/emulation'), await get('/connection/sse')], [405, 405, 400]);
  const evil = { ...json, origin: 'https://evil.example' };
  assert.equal(await post('/connection/http_stream', '{"id":1,"connect":{}}', evil), 403);
  assert.equal(await post('/emulation', '{"session":"none","node":"any","data":"{}"}', evil), 403);
});

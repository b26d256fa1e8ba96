// What the JavaScript client sees of the server: with JSON and with Protobuf, across restarts.
//
// `node --test javascript.mjs`, with DOG_CENTRIFUGE (a folder in which `centrifuge` and `ws` are installed) and DOG_CHANNELS (the
// program). Nothing here waits for a time: each step waits for what the client says, and the test runner has the only deadline.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Configuration, Server, clients, listen, token, websocket } from './kit.mjs';

const permissions = { allow_subscribe_for_client: true, allow_publish_for_client: true, allow_presence_for_client: true };
const configuration = new Configuration({
  without_namespace: { ...permissions, presence: true, join_leave: true },
  namespaces: [
    { name: 'kept', ...permissions, allow_history_for_client: true, history_size: 100, history_ttl: '300s', force_recovery: true },
  ],
});

let server;
const api = (method, body) => server.api(method, body);

before(async () => { server = await Server.start(configuration); });
after(async () => {
  await server.kill();
  configuration.delete();
});

for (const [codec, Centrifuge] of Object.entries(clients)) {
  const connect = (options) => new Centrifuge(server.endpoint(), {
    websocket, minReconnectDelay: 10, maxReconnectDelay: 200, ...options,
  });
  const data = (value) => codec === 'json' ? value : new TextEncoder().encode(JSON.stringify(value));
  const read = (payload) => codec === 'json' ? payload : JSON.parse(new TextDecoder().decode(payload));
  const channel = (name) => `${name}-${codec}`;

  test(`${codec}: who may not connect is told so, and stays away`, async () => {
    for (const [options, code] of [[{}, 3507], [{ token: 'nonsense' }, 3500]]) {
      const client = connect(options);
      const next = listen(client, ['connected', 'disconnected']);
      client.connect();
      const { kind, code: told } = await next();
      assert.deepEqual([kind, told], ['disconnected', code]);
    }
  });

  test(`${codec}: publications, presence, history, errors`, async () => {
    const client = connect({ token: token({ sub: 'ann', info: { name: 'Ann' } }) });
    const state = listen(client, ['connected']);
    client.connect();
    const { client: id } = await state();
    const room = channel('kept:room');
    const subscription = client.newSubscription(room);
    const next = listen(subscription, ['subscribed', 'publication', 'unsubscribed', 'error']);
    subscription.subscribe();
    const subscribed = await next();
    assert.deepEqual([subscribed.kind, subscribed.recoverable, subscribed.recovered], ['subscribed', true, false]);
    await subscription.publish(data({ n: 1 }));
    const own = await next();
    assert.deepEqual(read(own.data), { n: 1 });
    assert.equal(own.offset, 1);
    assert.equal(own.info.user, 'ann');
    assert.equal(own.info.client, id);
    assert.deepEqual(read(own.info.connInfo), { name: 'Ann' });
    const published = await api('publish', { channel: room, data: { n: 2 }, tags: { by: 'backend' } });
    assert.equal(published.result.offset, 2);
    const other = await next();
    assert.deepEqual([read(other.data), other.offset, other.tags], [{ n: 2 }, 2, { by: 'backend' }]);
    const history = await subscription.history({ limit: 10 });
    assert.deepEqual(history.publications.map((publication) => publication.offset), [1, 2]);
    assert.equal(history.offset, 2);
    const newest = await subscription.history({ limit: 1, reverse: true, since: { offset: 2, epoch: history.epoch } });
    assert.deepEqual(newest.publications.map((publication) => publication.offset), [1]);
    await assert.rejects(subscription.presence(), { code: 108 });
    await assert.rejects(client.rpc('none', data({})), { code: 108 });
    await assert.rejects(client.publish('unknown:a', data({})), { code: 102 });
    subscription.unsubscribe();
    assert.equal((await next()).kind, 'unsubscribed');
    client.disconnect();
  });

  test(`${codec}: who comes and goes`, async () => {
    const [ann, bob] = ['ann', 'bob'].map((sub) => connect({ token: token({ sub }) }));
    const room = channel('lounge');
    const subscription = ann.newSubscription(room, { joinLeave: true });
    const next = listen(subscription, ['subscribed', 'join', 'leave']);
    subscription.subscribe();
    ann.connect();
    assert.equal((await next()).kind, 'subscribed');
    assert.equal((await next()).info.user, 'ann');
    const other = bob.newSubscription(room);
    other.subscribe();
    bob.connect();
    const joined = await next();
    assert.deepEqual([joined.kind, joined.info.user], ['join', 'bob']);
    assert.deepEqual(await subscription.presenceStats(), { numClients: 2, numUsers: 2 });
    const { clients: present } = await subscription.presence();
    assert.deepEqual(Object.values(present).map((info) => info.user).sort(), ['ann', 'bob']);
    bob.disconnect();
    const left = await next();
    assert.deepEqual([left.kind, left.info.user], ['leave', 'bob']);
    assert.equal((await subscription.presenceStats()).numClients, 1);
    subscription.unsubscribe();
    assert.deepEqual(await ann.presenceStats(room), { numClients: 0, numUsers: 0 });
    assert.deepEqual(await ann.presence(room), { clients: {} });
    ann.disconnect();
  });

  test(`${codec}: a client that comes back has missed nothing, in order and once`, async () => {
    const client = connect({ token: token({ sub: 'ann' }) });
    const room = channel('kept:gap');
    const subscription = client.newSubscription(room);
    const next = listen(subscription, ['subscribed', 'publication']);
    subscription.subscribe();
    client.connect();
    await next();
    const offsets = [];
    for (let round = 0; round < 5; round++) {
      await api('publish', { channel: room, data: { round } });
      offsets.push((await next()).offset);
      await api('disconnect', { user: 'ann', disconnect: { code: 3011, reason: 'force reconnect' } });
      for (let number = 0; number < 3; number++) await api('publish', { channel: room, data: { round, number } });
      for (let heard = 0; heard < 4;) {
        const { kind, offset, recovered, wasRecovering } = await next();
        if (kind === 'subscribed') assert.deepEqual([wasRecovering, recovered], [true, true]);
        else offsets.push(offset);
        heard += 1;
      }
    }
    assert.deepEqual(offsets, Array.from({ length: 20 }, (_, index) => index + 1));
    client.disconnect();
  });

  test(`${codec}: tokens that end are renewed, and the connection goes on`, async () => {
    const exp = Math.floor(Date.now() / 1000) + 2;
    let renewed;
    const asked = new Promise((resolve) => { renewed = resolve; });
    const client = connect({
      token: token({ sub: 'ann', exp }), getToken: async () => { renewed(); return token({ sub: 'ann' }); },
    });
    const next = listen(client, ['connected', 'disconnected', 'connecting']);
    client.connect();
    assert.equal((await next()).kind, 'connecting');
    assert.equal((await next()).kind, 'connected');
    await asked;
    // The answer to the renewal comes before the answer to this.
    await assert.rejects(client.rpc('none', data({})), { code: 108 });
    client.disconnect();
    assert.equal((await next()).kind, 'disconnected');
  });

  test(`${codec}: an old token is exchanged before the connection begins`, async () => {
    const client = connect({ token: token({ sub: 'ann', exp: 1 }), getToken: async () => token({ sub: 'ann' }) });
    const next = listen(client, ['connected']);
    client.connect();
    await next();
    client.disconnect();
  });

  test(`${codec}: private channels need a token of their own`, async () => {
    const client = connect({ token: token({ sub: 'ann' }) });
    const secret = channel('$secret');
    const [without, withToken] = [channel('$closed'), secret].map((name) => client.newSubscription(name, name === secret
      ? { getToken: async () => token({ sub: 'ann', channel: secret, info: { role: 'guest' } }) } : {}));
    const refused = listen(without, ['unsubscribed', 'subscribed']);
    const admitted = listen(withToken, ['unsubscribed', 'subscribed']);
    without.subscribe();
    withToken.subscribe();
    client.connect();
    const { kind, code } = await refused();
    assert.deepEqual([kind, code], ['unsubscribed', 103]);
    assert.equal((await admitted()).kind, 'subscribed');
    const { clients: present } = await withToken.presence();
    assert.deepEqual(Object.values(present).map((info) => read(info.chanInfo)), [{ role: 'guest' }]);
    client.disconnect();
  });

  test(`${codec}: subscriptions that the server makes`, async () => {
    const own = channel('kept:own');
    const client = connect({ token: token({ sub: `own-${codec}`, channels: [own] }) });
    const next = listen(client, ['subscribed', 'publication', 'unsubscribed', 'connected']);
    client.connect();
    assert.deepEqual((await next()).kind, 'connected');
    const subscribed = await next();
    assert.deepEqual([subscribed.kind, subscribed.channel, subscribed.recoverable], ['subscribed', own, true]);
    await api('publish', { channel: own, data: { n: 1 } });
    assert.deepEqual(read((await next()).data), { n: 1 });
    const more = channel('kept:more');
    await api('subscribe', { user: `own-${codec}`, channel: more });
    assert.equal((await next()).channel, more);
    await api('unsubscribe', { user: `own-${codec}`, channel: more });
    const ended = await next();
    assert.deepEqual([ended.kind, ended.channel], ['unsubscribed', more]);
    client.disconnect();
  });

  test(`${codec}: many commands in one frame`, async () => {
    const client = connect({ token: token({ sub: 'ann' }) });
    const next = listen(client, ['connected']);
    client.connect();
    await next();
    const subscriptions = Array.from({ length: 50 }, (_, index) => client.newSubscription(channel(`kept:many-${index}`)));
    client.startBatching();
    subscriptions.forEach((subscription) => subscription.subscribe());
    client.stopBatching();
    await Promise.all(subscriptions.map((subscription) => subscription.ready()));
    const heard = subscriptions.map((subscription) => listen(subscription, ['publication']));
    await api('broadcast', { channels: subscriptions.map((subscription) => subscription.channel), data: { n: 1 } });
    for (const next of heard) assert.equal((await next()).offset, 1);
    client.disconnect();
  });
}

test('a server that is killed has lost its history, and says so', async () => {
  const running = Object.entries(clients).map(([codec, Centrifuge]) => {
    const client = new Centrifuge(server.endpoint(), {
      websocket, token: token({ sub: codec }), minReconnectDelay: 10, maxReconnectDelay: 200,
    });
    const subscription = client.newSubscription('kept:lost');
    const next = listen(subscription, ['subscribed', 'publication']);
    subscription.subscribe();
    client.connect();
    return { client, next };
  });
  const epochs = [];
  for (const { next } of running) epochs.push((await next()).streamPosition.epoch);
  await api('publish', { channel: 'kept:lost', data: { n: 1 } });
  for (const { next } of running) assert.equal((await next()).offset, 1);
  await server.kill();
  server = await Server.start(configuration, server.address);
  for (const [index, { next }] of running.entries()) {
    const again = await next();
    assert.deepEqual([again.kind, again.wasRecovering, again.recovered], ['subscribed', true, false]);
    assert.notEqual(again.streamPosition.epoch, epochs[index]);
    assert.equal(again.streamPosition.offset, 0);
  }
  await api('publish', { channel: 'kept:lost', data: { n: 2 } });
  for (const { next, client } of running) {
    assert.equal((await next()).offset, 1);
    client.disconnect();
  }
});

test('the API of backends', async () => {
  const refused = await server.request('info', {}, 'wrong');
  assert.equal(refused.status, 401);
  const room = 'kept:api';
  const [first, second] = [await api('publish', { channel: room, data: 1, idempotency_key: 'k' }),
    await api('publish', { channel: room, data: 1, idempotency_key: 'k' })];
  assert.deepEqual(first, second);
  const { replies } = await api('batch', { commands: [
    { publish: { channel: room, data: 2 } }, { history: { channel: room, limit: 10 } }, { publish: { channel: 'no:a', data: 1 } },
  ] });
  assert.equal(replies[0].publish.offset, 2);
  assert.deepEqual(replies[1].history.publications.map((publication) => publication.data), [1, 2]);
  assert.equal(replies[2].error.code, 102);
  await api('history_remove', { channel: room });
  const { result } = await api('history', { channel: room, limit: 10 });
  assert.deepEqual([result.publications, result.offset], [[], 0]);
  assert.notEqual(result.epoch, first.result.epoch);
  assert.equal((await api('info', {})).result.nodes.length, 1);
});

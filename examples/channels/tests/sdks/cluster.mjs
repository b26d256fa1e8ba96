// What JavaScript clients on two nodes of a cluster see: they are in one server of channels.
//
// `node --test cluster.mjs`, with DOG_CENTRIFUGE and DOG_CHANNELS as for javascript.mjs, and DOG_NATS, the address of a NATS server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Configuration, Server, clients, listen, token, websocket } from './kit.mjs';

const configuration = new Configuration({
  without_namespace: { allow_subscribe_for_client: true, allow_presence_for_client: true, presence: true, history_size: 100,
    history_ttl: '300s', force_recovery: true },
});
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

test('clients of two nodes hear the same publications in the same order, and come back without a gap', async () => {
  const room = 'room';
  const members = nodes.map((node) => {
    const client = new clients.json(node.endpoint(), {
      websocket, token: token({ sub: 'ann' }), minReconnectDelay: 10, maxReconnectDelay: 200,
    });
    const subscription = client.newSubscription(room);
    const next = listen(subscription, ['subscribed', 'publication']);
    subscription.subscribe();
    client.connect();
    return { client, subscription, next };
  });
  const epochs = [];
  for (const { next } of members) epochs.push((await next()).streamPosition.epoch);
  assert.equal(epochs[0], epochs[1]);
  for (let round = 1; round <= 6; round++) {
    const { result } = await nodes[round % 2].api('publish', { channel: room, data: { round } });
    assert.deepEqual([result.offset, result.epoch], [round, epochs[0]]);
    for (const { next } of members) {
      const { offset, data } = await next();
      assert.deepEqual([offset, data], [round, { round }]);
    }
  }
  assert.deepEqual(await members[0].subscription.presenceStats(), { numClients: 2, numUsers: 1 });
  // Both connections are closed, whichever node is asked.
  await nodes[1].api('disconnect', { user: 'ann', disconnect: { code: 3011, reason: 'force reconnect' } });
  await nodes[0].api('publish', { channel: room, data: { round: 7 } });
  for (const { next, client } of members) {
    const heard = [await next(), await next()];
    const again = heard.find(({ kind }) => kind === 'subscribed');
    assert.deepEqual([again.wasRecovering, again.recovered], [true, true]);
    assert.equal(heard.find(({ kind }) => kind === 'publication').offset, 7);
    client.disconnect();
  }
});

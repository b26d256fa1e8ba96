"""What the Python client and the Python library for backends (`cent`) see of the server, across a restart.

DOG_CHANNELS names the program. Nothing here waits for a time: each step waits for what the client says, with one deadline for all.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import tempfile
import time

import cent
from centrifuge import Client, ClientEventHandler, SubscriptionEventHandler

PATIENCE = 100
SECRET = "a secret for tests that nobody else can guess"
KEY = "the key of the tests"
ALLOWED = {f"allow_{verb}_for_client": True for verb in ("subscribe", "publish", "presence", "history")}
CONFIG = {
    "client": {"token": {"hmac_secret_key": SECRET}},
    "http_api": {"key": KEY},
    "channel": {
        "without_namespace": {**ALLOWED, "presence": True, "join_leave": True},
        "namespaces": [{"name": "kept", **ALLOWED, "history_size": 100, "history_ttl": "300s", "force_recovery": True}],
    },
}


def token(**claims):
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = {"exp": int(time.time()) + 600, **claims}
    head = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{head}.{encode(hmac.new(SECRET.encode(), head.encode(), hashlib.sha256).digest())}"


class Server:
    """The program. It is killed without a chance to say anything."""

    def __init__(self, folder):
        self.config = os.path.join(folder, "config.json")
        with open(self.config, "w") as file:
            json.dump(CONFIG, file)
        self.address = "127.0.0.1:0"
        self.start()

    def start(self):
        arguments = [os.environ["DOG_CHANNELS"], "--config", self.config, "--listen", self.address]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            found = re.search(r"127\.0\.0\.1:\d+", line)
            if found:
                self.address = found.group()
                return
        raise RuntimeError("the server has ended")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Heard(SubscriptionEventHandler):
    """What a subscription says, to be awaited in order."""

    def __init__(self):
        self.queue = asyncio.Queue()

    async def on_subscribed(self, ctx):
        await self.queue.put(("subscribed", ctx))

    async def on_publication(self, ctx):
        await self.queue.put(("publication", ctx.pub))

    async def on_join(self, ctx):
        await self.queue.put(("join", ctx.info.user))

    async def on_leave(self, ctx):
        await self.queue.put(("leave", ctx.info.user))

    async def next(self, kind):
        heard, context = await self.queue.get()
        assert heard == kind, (heard, kind, context)
        return context


def connect(server, use_protobuf, **claims):
    url = f"ws://{server.address}/connection/websocket"
    return Client(url, events=ClientEventHandler(), token=token(**claims), use_protobuf=use_protobuf,
                  min_reconnect_delay=0.01, max_reconnect_delay=0.2)


async def story(server, api, use_protobuf):
    def data(value):
        return json.dumps(value).encode() if use_protobuf else value

    def read(payload):
        return json.loads(payload) if use_protobuf else payload

    suffix = "protobuf" if use_protobuf else "json"
    ann = connect(server, use_protobuf, sub="ann")
    heard = Heard()
    room = ann.new_subscription(f"kept:{suffix}", heard, recoverable=True)
    await ann.connect()
    await room.subscribe()
    subscribed = await heard.next("subscribed")
    assert subscribed.recoverable, subscribed
    await room.publish(data({"n": 1}))
    publication = await heard.next("publication")
    assert (publication.offset, read(publication.data)) == (1, {"n": 1}), publication
    published = api.publish(cent.PublishRequest(channel=room.channel, data={"n": 2}))
    assert published.offset == 2, published
    assert read((await heard.next("publication")).data) == {"n": 2}
    history = await room.history(limit=10)
    assert [publication.offset for publication in history.publications] == [1, 2], history

    # It comes back and has missed nothing.
    api.disconnect(cent.DisconnectRequest(user="ann", disconnect=cent.Disconnect(code=3011, reason="force reconnect")))
    offsets = [api.publish(cent.PublishRequest(channel=room.channel, data=number)).offset for number in range(3)]
    again = await heard.next("subscribed")
    assert again.was_recovering and again.recovered, again
    assert [(await heard.next("publication")).offset for _ in offsets] == offsets

    # Who comes and goes.
    lounge, seen = f"lounge-{suffix}", Heard()
    watching = ann.new_subscription(lounge, seen, join_leave=True)
    await watching.subscribe()
    await seen.next("subscribed")
    assert await seen.next("join") == "ann"
    bob = connect(server, use_protobuf, sub="bob")
    await bob.connect()
    await bob.new_subscription(lounge, Heard()).subscribe()
    assert await seen.next("join") == "bob"
    stats = await watching.presence_stats()
    assert (stats.num_clients, stats.num_users) == (2, 2), stats
    assert sorted(info.user for info in api.presence(cent.PresenceRequest(channel=lounge)).presence.values()) == ["ann", "bob"]
    await bob.disconnect()
    assert await seen.next("leave") == "bob"

    # The history is gone with the process.
    server.kill()
    server.start()
    lost = await heard.next("subscribed")
    assert lost.was_recovering and not lost.recovered, lost
    await ann.disconnect()


def backend(api):
    """What the library for backends reads of each answer."""
    first = api.publish(cent.PublishRequest(channel="kept:api", data={}, idempotency_key="k"))
    assert api.publish(cent.PublishRequest(channel="kept:api", data={}, idempotency_key="k")) == first
    broadcast = api.broadcast(cent.BroadcastRequest(channels=["kept:api", "plain"], data={}))
    assert [response.error for response in broadcast.responses] == [None, None], broadcast
    history = api.history(cent.HistoryRequest(channel="kept:api", limit=10))
    assert [publication.offset for publication in history.publications] == [1, 2], history
    requests = {
        api.history_remove: cent.HistoryRemoveRequest(channel="kept:api"),
        api.subscribe: cent.SubscribeRequest(user="nobody", channel="plain"),
        api.unsubscribe: cent.UnsubscribeRequest(user="nobody", channel="plain"),
        api.disconnect: cent.DisconnectRequest(user="nobody"),
        api.presence_stats: cent.PresenceStatsRequest(channel="plain"),
        api.channels: cent.ChannelsRequest(),
        api.info: cent.InfoRequest(),
    }
    for call, request in requests.items():
        call(request)
    batch = api.batch(cent.BatchRequest(requests=list(requests.values())))
    assert len(batch.replies) == len(requests), batch
    try:
        api.publish(cent.PublishRequest(channel="unknown:a", data={}))
    except cent.CentApiResponseError as error:
        assert error.code == 102, error
    else:
        raise AssertionError("there is no such channel")


async def main():
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        try:
            api = cent.Client(f"http://{server.address}/api", KEY)
            backend(api)
            for use_protobuf in (False, True):
                await asyncio.wait_for(story(server, api, use_protobuf), PATIENCE)
        finally:
            server.kill()


asyncio.run(main())

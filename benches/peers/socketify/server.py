"""The relay on uWebSockets, by way of PyPI's socketify: `python server.py [--compress]`.

A socket of `GET /ws?u=ID&room=NAME` is subscribed to the topic of its room. Every message is published there, also to the sender,
as in examples/relay. uWebSockets does the publishing, which is most of the cost; Python runs once per message.
"""

import sys

from socketify import App, CompressOptions

COMPRESS = "--compress" in sys.argv[1:]

app = App(lifespan=False)


def upgrade(response, request, context):
    key = request.get_header("sec-websocket-key")
    protocol = request.get_header("sec-websocket-protocol")
    extensions = request.get_header("sec-websocket-extensions")
    response.upgrade(key, protocol, extensions, context, request.get_query("room"))


def opened(socket):
    socket.subscribe(socket.get_user_data())


def message(socket, payload, opcode):
    app.publish(socket.get_user_data(), payload, opcode, COMPRESS)


app.ws(
    "/ws",
    {
        "compression": CompressOptions.SHARED_COMPRESSOR if COMPRESS else CompressOptions.DISABLED,
        "max_payload_length": 16 * 1024 * 1024,
        "max_backpressure": 1024 * 1024,
        "idle_timeout": 0,
        "upgrade": upgrade,
        "open": opened,
        "message": message,
    },
)
app.listen(
    {"port": 0, "host": "127.0.0.1"},
    lambda config: print(f"listening on http://127.0.0.1:{config.port}", flush=True),
)
# Not `app.run()`, which calls libuv's loop again and again from Python's and costs more than the publishing. Nothing here is
# async, so libuv can run alone, and uWebSockets is what is measured.
app.loop.uv_loop.run()

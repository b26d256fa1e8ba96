// The relay on the npm package `dog`, for `cargo xtask bench`. A message from a socket of `GET /ws?u=ID&room=NAME` goes to every
// socket of the room, as in examples/relay. With VERB it goes to the client named by `to`, or back after a gossip, as in
// benches/src/bin/verbs.rs. Written like the example in the package's readme.
import { Group, identify, Replica } from "dog";

export class RoomGroup extends Group {
  constructor(state, env) {
    super(state, env);
    this.limit = Number(env.LIMIT);
  }

  link(env) {
    return { child: env.RoomReplica, self: env.RoomGroup };
  }
}

export class RoomReplica extends Replica {
  constructor(state, env) {
    super(state, env);
    this.verb = env.VERB;
    this.targets = new Map();
  }

  link(env) {
    return { parent: env.RoomGroup, self: env.RoomReplica };
  }

  receive(request) {
    if (this.verb === "whisper") {
      const query = new URL(request.url).searchParams;
      this.targets.set(query.get("u"), query.get("to"));
    }
    return this.connect(request);
  }

  async onmessage(socket, message) {
    switch (this.verb) {
      case "whisper":
        return socket.whisper(this.targets.get(socket.uid), message);
      case "gossip":
        await this.gossip({ type: "ask" });
        return socket.send(message);
      default:
        return socket.broadcast(message, true);
    }
  }

  ongossip() {
    return "here";
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname !== "/ws") {
      return new Response("not found", { status: 404 });
    }
    const client = url.searchParams.get("u") ?? crypto.randomUUID();
    const room = url.searchParams.get("room");
    const group = env.RoomGroup.idFromName(room === null ? `own ${crypto.randomUUID()}` : `named ${room}`);
    const replica = await identify(group, client, { parent: env.RoomGroup, child: env.RoomReplica });
    return replica.fetch(request);
  },
};

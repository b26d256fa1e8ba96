// Counts the requests between objects, by the class that gets them. All objects of a workerd share this module.
import app, * as exports from "./index.js";
export * from "./index.js";

const calls = {};

for (const [name, Class] of Object.entries(exports)) {
  const call = Class.prototype?.dogCall;
  if (call) {
    calls[name] = 0;
    Class.prototype.dogCall = function (bundle) {
      calls[name] += 1;
      return call.call(this, bundle);
    };
  }
}

export default class extends app {
  fetch(request) {
    return new URL(request.url).pathname === "/calls" ? Response.json(calls) : super.fetch(request);
  }
}

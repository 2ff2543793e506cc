import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Debounced } from "../src/debounced";

test("the work waits for quiet, each key for its own", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const done: string[] = [];
  const work = new Debounced<string>(100, (value) => void done.push(value));
  work.call("a", "a1");
  mock.timers.tick(60);
  work.call("a", "a2");
  work.call("b", "b1");
  mock.timers.tick(60);
  assert.deepEqual(done, []);
  mock.timers.tick(40);
  assert.deepEqual(done, ["a2", "b1"]);
  work.call("a", "a3");
  work.dispose();
  mock.timers.tick(1000);
  assert.deepEqual(done, ["a2", "b1"]);
  mock.timers.reset();
});

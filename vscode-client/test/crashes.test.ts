import assert from "node:assert/strict";
import { test } from "node:test";
import { CrashCounter, WITHIN_MS } from "../src/server/crashes";

test("the third crash within three minutes is the last", () => {
  const counter = new CrashCounter();
  assert.deepEqual(
    [0, 1000, 2000].map((time) => counter.crashed(time)),
    [true, true, false],
  );
});

test("crashes that are further apart don't add up", () => {
  const counter = new CrashCounter();
  const times = [0, 1, WITHIN_MS + 1, WITHIN_MS + 2, 3 * WITHIN_MS];
  assert.deepEqual(
    times.map((time) => counter.crashed(time)),
    [true, true, true, true, true],
  );
});

test("a restart that a person asked for forgives", () => {
  const counter = new CrashCounter();
  counter.crashed(0);
  counter.crashed(1);
  counter.forgive();
  assert.equal(counter.crashed(2), true);
});

import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { run } from "../src/setup/run";

const folder = tmpdir();
const WAITS = "console.log('ready'); setInterval(() => undefined, 1000)";

test("lines of both streams are heard as they come", async () => {
  const heard: string[] = [];
  const ran = await run(process.execPath, ["-e", "console.log('a'); console.error('b'); process.exitCode = 4"], {
    folder,
    onLine: (line) => heard.push(line),
  });
  assert.equal(ran.code, 4);
  assert.deepEqual([...ran.lines].sort(), ["a", "b"]);
  assert.deepEqual(heard, ran.lines);
});

test("a program is ended when it is cancelled", async () => {
  const abort = new AbortController();
  const reason = new Error("cancelled");
  const running = run(process.execPath, ["-e", WAITS], {
    folder,
    signal: abort.signal,
    onLine: () => {
      abort.abort(reason);
    },
  });
  await assert.rejects(running, reason);
});

test("what was cancelled before is not started", async () => {
  await assert.rejects(run("/nowhere", [], { folder, signal: AbortSignal.abort(new Error("cancelled")) }), { message: "cancelled" });
});

test("a program that takes too long is ended", async () => {
  const { code } = await run(process.execPath, ["-e", WAITS], { folder, milliseconds: 50 });
  assert.equal(code, null);
});

test("a program that isn't there gives a sentence", async () => {
  await assert.rejects(run("/nowhere/python", [], { folder }), { message: "there is no program /nowhere/python" });
});

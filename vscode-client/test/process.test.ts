import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, realpath } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ServerProcess } from "../src/server/process";

const folder = tmpdir();

async function ended(code: string): Promise<ServerProcess> {
  const server = await ServerProcess.start({ program: process.execPath, args: ["-e", code], folder });
  await once(server.child, "close");
  return server;
}

test("the reason of an end is its exit code and what was written last", async () => {
  const server = await ended("console.error('first'); console.error('the disk is on fire\\n'); process.exitCode = 3");
  assert.equal(server.reason, "it ended with exit code 3 (the disk is on fire)");
});

test("the reason of a silent end", async () => {
  assert.equal((await ended("process.exit(1)")).reason, "it ended with exit code 1");
});

test("the reason of an end by a signal", { skip: process.platform === "win32" }, async () => {
  assert.equal((await ended("process.kill(process.pid, 'SIGKILL')")).reason, "it was ended by SIGKILL");
});

test("a program that isn't there gives a sentence", async () => {
  const start = ServerProcess.start({ program: "/nowhere/lacuna-lsp", args: [], folder });
  await assert.rejects(start, { message: "there is no program /nowhere/lacuna-lsp" });
});

test("it runs in the folder that it is given, and Python in it looks for nothing there", async () => {
  const own = await realpath(await mkdtemp(join(folder, "lacuna-")));
  const say = "console.log(JSON.stringify([process.cwd(), process.env.PYTHONSAFEPATH]))";
  const server = await ServerProcess.start({ program: process.execPath, args: ["-e", say], folder: own });
  let said = "";
  server.child.stdout?.setEncoding("utf8").on("data", (text: string) => (said += text));
  await once(server.child, "close");
  assert.deepEqual(JSON.parse(said), [own, "1"]);
});

// A server that ends as soon as it starts: tried three times, then told, with what it wrote last.
import assert from "node:assert/strict";
import { serverOf } from "../../stage.mjs";

export default async function (stage) {
  const command = [stage.python, "-c", "import sys; sys.exit('the disk is on fire')"];
  const window = await stage.open("crash_at_start", { "a.py": "x = ___\n" }, { "lacuna.server.command": command });
  await window.show("a.py");
  const message = await window.message("three times");
  assert.match(message, /the disk is on fire/);
  assert.equal((await serverOf(window)).kind, "stopped");
}

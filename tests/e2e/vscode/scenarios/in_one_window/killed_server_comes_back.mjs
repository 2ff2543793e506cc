// The server's process is killed: another one is started without a question.
import assert from "node:assert/strict";
import { serverOf, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const window = await stage.shared({ "killed_server_comes_back/a.py": "x = ___\n" });
  await window.show("killed_server_comes_back/a.py");
  const first = await untilServing(window);
  process.kill(first.pid, "SIGKILL");
  const second = await untilServing(window, first);
  assert.notEqual(second.pid, first.pid);
  assert.equal((await serverOf(window)).kind, "running");
}

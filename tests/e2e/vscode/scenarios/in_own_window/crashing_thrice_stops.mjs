// The server's process dies three times: it stays off, the message says why, and its button starts it again.
import assert from "node:assert/strict";
import { serverOf, untilServing } from "../../stage.mjs";
import { until } from "../../code.mjs";

export default async function (stage) {
  const window = await stage.open("crashing_thrice", { "a.py": "x = ___\n" });
  await window.show("a.py");
  let server;
  for (let crash = 0; crash < 3; crash++) {
    server = await untilServing(window, server);
    process.kill(server.pid, "SIGKILL");
  }
  const message = await window.message("three times");
  assert.match(message, /stays off.*SIGKILL/);
  const stopped = await until("stopped server", async () => {
    const now = await serverOf(window);
    return now.kind === "stopped" && now;
  });
  assert.equal(stopped.reason, message);
  await window.press("three times", "Restart");
  await untilServing(window, server);
}

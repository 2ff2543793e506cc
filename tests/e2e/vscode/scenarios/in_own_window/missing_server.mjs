// The setting names a program that isn't there: one plain sentence; once the setting is right, the server starts without more.
import assert from "node:assert/strict";
import { serverOf, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const window = await stage.open("missing_server", { "a.py": "x = ___\n" }, { "lacuna.server.command": ["/nowhere/lacuna-lsp"] });
  await window.show("a.py");
  const message = await window.message("/nowhere/lacuna-lsp");
  assert.match(message, /^Lacuna's server can't be started: there is no program \/nowhere\/lacuna-lsp\.$/);
  assert.equal((await serverOf(window)).kind, "stopped");
  stage.configure({});
  await untilServing(window);
}

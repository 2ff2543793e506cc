// A workspace that nobody trusts yet: nothing that its settings name is run or read, whether the server or a model.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { serverOf, statusOf, untilServing } from "../../stage.mjs";
import { until } from "../../code.mjs";

export default async function (stage) {
  const bait = path.join(stage.home, "bait");
  const evil = { "lacuna.server.command": ["/bin/sh", "-c", `touch ${bait}`], "lacuna.python": "/bin/false", "lacuna.model": "/nowhere" };
  const files = { "a.py": "x = ___\n", ".vscode/settings.json": JSON.stringify(evil), "lacuna.toml": 'model = "/nowhere"\n' };
  const window = await stage.open("untrusted", files, { "security.workspace.trust.enabled": true });
  await window.show("a.py");
  assert.equal(await window.host((vscode) => vscode.workspace.isTrusted), false);
  await untilServing(window);
  assert.equal(fs.existsSync(bait), false);
  const { pid } = await serverOf(window);
  assert.match(fs.readFileSync(`/proc/${pid}/cmdline`, "utf8"), /lacuna-lsp/);
  await until("model", async () => (await statusOf(window))?.model === "lacuna-small");
  const lenses = window.page.locator(".codelens-decoration a");
  await until("lens", async () => (await lenses.count()) === 1);
}

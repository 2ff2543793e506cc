// Typing goes on while a fill is computed: its result is dropped with a sentence, and the text is as it was typed.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";
import { LONG, LONG_SETTINGS } from "../../code_text.mjs";
import { fills, statusOf, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const window = await stage.open("changed", { "long.py": LONG }, LONG_SETTINGS);
  await window.show("long.py");
  await untilServing(window);
  await until("model", async () => (await statusOf(window))?.state === "ready");
  await window.begin("lacuna.fillAll");
  await until("model at work", async () => (await statusOf(window)).state === "working");
  await window.host((vscode) => vscode.window.activeTextEditor.edit((builder) => builder.insert(new vscode.Position(0, 0), "# typed\n")));
  await window.message("changed");
  assert.equal(await fills(window), null);
  assert.equal(await window.text(), `# typed\n${LONG}`);
}

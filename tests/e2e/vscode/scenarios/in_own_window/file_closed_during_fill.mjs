// The file is closed while it is filled: the fill is given up, which is told in one sentence, and the next one works.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";
import { holesOf, LONG, LONG_SETTINGS, SHAPES } from "../../code_text.mjs";
import { serverOf, statusOf, untilChoice, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const window = await stage.open("closed", { "long.py": LONG, "shapes.py": SHAPES }, LONG_SETTINGS);
  await window.show("long.py");
  const { pid } = await untilServing(window);
  await until("model", async () => (await statusOf(window))?.state === "ready");
  await window.begin("lacuna.fillAll");
  await until("model at work", async () => (await statusOf(window)).state === "working");
  await window.command("workbench.action.closeActiveEditor");
  await until("free model", async () => (await statusOf(window)).state === "ready", 20_000);
  await window.message("the document was closed");
  await until("end of the progress", async () => (await window.messages()).length === 1);

  await window.show("shapes.py");
  await window.host(async (vscode) => {
    const settings = vscode.workspace.getConfiguration("lacuna");
    await settings.update("alternatives", 3, true);
    await settings.update("maxTokens", 24, true);
    await settings.update("temperature", 0.6, true);
  });
  await window.select([holesOf(SHAPES)[2]]);
  await window.begin("lacuna.fill");
  await untilChoice(window);
  assert.equal((await serverOf(window)).pid, pid);
}

// The model's folder changes on the disk: a new model is taken up without a restart; a broken one is refused with one sentence, and
// the one before goes on answering.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { until } from "../../code.mjs";
import { ROOT } from "../../setup.mjs";
import { serverOf, statusOf, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const model = path.join(stage.home, "model");
  fs.cpSync(path.join(ROOT, "engine/models/default"), model, { recursive: true });
  const manifest = path.join(model, "manifest.json");
  const replace = (file, text) => {
    fs.writeFileSync(`${file}.new`, text);
    fs.renameSync(`${file}.new`, file);
  };
  const window = await stage.open("swap", { "a.py": "import os\n\nprint(os.path.join('a', 'b'))\n" }, { "lacuna.model": model });
  await window.show("a.py");
  const { pid } = await untilServing(window);
  await until("model", async () => (await statusOf(window))?.model === "lacuna-small");

  replace(manifest, fs.readFileSync(manifest, "utf8").replace('"lacuna-small"', '"another-model"'));
  await until("new model", async () => (await statusOf(window)).model === "another-model");
  await window.page.locator(".statusbar-item", { hasText: "another-model" }).waitFor();
  assert.deepEqual(await window.messages(), []);

  const graph = path.join(model, "model.onnx");
  replace(graph, fs.readFileSync(graph).subarray(0, 1000));
  const message = await window.message("goes on with the model another-model");
  assert.ok(!message.includes("Traceback"), message);
  assert.equal((await statusOf(window)).model, "another-model");
  assert.match(await hoverAt(window, 2, 12), /bits per token/);
  assert.equal((await serverOf(window)).pid, pid);
}

function hoverAt(window, line, character) {
  return window.host(
    async (vscode, [line, character]) => {
      const { document } = vscode.window.activeTextEditor;
      const found = await vscode.commands.executeCommand("vscode.executeHoverProvider", document.uri, new vscode.Position(line, character));
      return found.flatMap(({ contents }) => contents.map((content) => content.value)).join("\n");
    },
    [line, character],
  );
}

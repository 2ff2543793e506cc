// The surprise map: painted at a command, with a legend, renewed as the text changes, and gone at the same command; and the hover,
// which tells of one place what the map shows of all.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";
import { untilServing } from "../../stage.mjs";

const TEXT = `import math


def area(radius):
    return math.pi * radius**2


def circumference(radius):
    return 2 * math.pi * purple_elephant
`;

export default async function (stage) {
  const window = await stage.shared({ "surprise_map_is_painted/circle.py": TEXT });
  await window.show("surprise_map_is_painted/circle.py");
  await untilServing(window);
  const legend = window.page.locator(".statusbar-item", { hasText: "bits" });
  assert.equal((await mapOf(window)).visible, false);
  assert.equal(await paintedAt(window, "elephant"), false);

  await window.command("lacuna.toggleSurpriseMap");
  await legend.waitFor();
  await until("colour on the elephant", () => paintedAt(window, "elephant"));
  const before = await mapOf(window);
  assert.equal(await paintedAt(window, "def"), false);

  // Without the elephant there is less surprise, and nobody had to ask.
  await window.host(async (vscode, text) => {
    const editor = vscode.window.activeTextEditor;
    const start = editor.document.positionAt(editor.document.getText().indexOf(text));
    await editor.edit((builder) => builder.replace(new vscode.Range(start, start.translate(0, text.length)), "radius"));
  }, "purple_elephant");
  await until("map of the new text", async () => total(await mapOf(window)) < total(before));
  // The same in another theme, whose colours the map takes.
  const dark = await colours(window);
  await window.host((vscode) => vscode.workspace.getConfiguration().update("workbench.colorTheme", "Default Dark Modern", true));
  await until("colours of the dark theme", async () => (await colours(window)).length > 0 && `${await colours(window)}` !== `${dark}`);

  const hovers = await window.host(async (vscode) => {
    const { document } = vscode.window.activeTextEditor;
    const place = document.positionAt(document.getText().indexOf("math.pi") + 1);
    const found = await vscode.commands.executeCommand("vscode.executeHoverProvider", document.uri, place);
    return found.flatMap(({ contents }) => contents.map((content) => content.value));
  });
  assert.match(hovers.join("\n"), /math.*bits per token, log-likelihood -\d/s);
  // As the mouse shows it.
  await window.pointAt("circumference");
  const hover = window.page.locator(".monaco-hover", { hasText: "bits per token" });
  await hover.waitFor();
  assert.match(await hover.innerText(), /The model would have written/);

  await window.page.mouse.move(5, 5);

  await window.command("lacuna.toggleSurpriseMap");
  await legend.waitFor({ state: "detached" });
  await until("code without colours", async () => (await colours(window)).length === 0);
  assert.deepEqual(await window.messages(), []);
  await window.host((vscode) => vscode.workspace.getConfiguration().update("workbench.colorTheme", undefined, true));
}

function mapOf(window) {
  return window.host((vscode) => vscode.extensions.getExtension("lacuna.lacuna").exports.surpriseMap());
}

function total(map) {
  return map.levels.reduce((sum, count, index) => sum + count * (index + 1), 0);
}

/** The colours behind the code. */
function colours(window) {
  return window.page.locator(".view-overlays .cdr").evaluateAll((all) => {
    const found = all.map((each) => getComputedStyle(each).backgroundColor).filter((colour) => colour !== "rgba(0, 0, 0, 0)");
    return [...new Set(found)].sort();
  });
}

/** Whether there is colour behind these words. */
async function paintedAt(window, words) {
  const box = await window.boxOf(words);
  return window.page.locator(".view-overlays .cdr").evaluateAll((all, box) => {
    const covers = (rect) => rect.left < box.right - 1 && rect.right > box.left + 1 && rect.top < box.bottom && rect.bottom > box.top;
    return all.some((each) => covers(each.getBoundingClientRect()) && getComputedStyle(each).backgroundColor !== "rgba(0, 0, 0, 0)");
  }, box);
}

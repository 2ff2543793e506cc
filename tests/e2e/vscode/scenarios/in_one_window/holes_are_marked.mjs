// Holes have a frame, a sign beside their lines, and lenses that fill them; the setting of the marker counts at once.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";
import { SHAPES } from "../../code_text.mjs";
import { untilChoice, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const window = await stage.shared({ "holes_are_marked/shapes.py": SHAPES });
  await window.show("holes_are_marked/shapes.py");
  await untilServing(window);
  const lenses = window.page.locator(".codelens-decoration a");
  await until("lenses of all holes", async () => (await lenses.allInnerTexts()).length === 4);
  const titles = (await lenses.allInnerTexts()).map((title) => title.trim());
  assert.deepEqual(titles, ["Fill", "Fill all 3 jointly", "Fill", "Fill"]);
  const signs = window.page.locator(".glyph-margin-widgets .cgmr");
  await until("signs of all holes", async () => (await signs.count()) === 3);

  await lenses.nth(3).click();
  const open = await untilChoice(window);
  assert.ok(open.alternatives.every((each) => each.edits.length === 1));
  await window.page.keyboard.press("Escape");

  await window.host((vscode) => vscode.workspace.getConfiguration("lacuna").update("marker", "float", true));
  await until("lens of the other marker", async () => (await lenses.allInnerTexts()).join().trim() === "Fill both jointly");
  await window.host((vscode) => vscode.workspace.getConfiguration("lacuna").update("marker", undefined, true));
  await until("lenses of all holes", async () => (await lenses.count()) === 4);
}

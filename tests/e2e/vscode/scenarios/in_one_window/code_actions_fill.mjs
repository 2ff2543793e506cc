// The light bulb's list, by keys: "Fill this hole" is computed when it is picked, and one step of undo takes it back.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";
import { holesOf, SHAPES } from "../../code_text.mjs";
import { untilServing } from "../../stage.mjs";

export default async function (stage) {
  const window = await stage.shared({ "code_actions_fill/shapes.py": SHAPES });
  await window.show("code_actions_fill/shapes.py");
  await untilServing(window);
  const [first] = holesOf(SHAPES);
  await window.select([first]);
  await window.page.locator(".monaco-editor textarea, .monaco-editor .native-edit-context").first().focus();
  await window.page.keyboard.press("Control+.");
  const list = window.page.locator(".action-widget");
  await list.locator(".monaco-list-row", { hasText: "Fill this hole" }).first().waitFor();
  assert.match(await list.innerText(), /Fill all 3 holes in this file/);
  const wanted = list.locator(".monaco-list-row.focused", { hasText: "Fill all 3 holes in this file" });
  while ((await wanted.count()) === 0) {
    const before = await list.locator(".monaco-list-row.focused").getAttribute("aria-label");
    await window.page.keyboard.press("ArrowDown");
    await until("next action", async () => (await list.locator(".monaco-list-row.focused").getAttribute("aria-label")) !== before);
  }
  await window.page.keyboard.press("Enter");
  const text = await until("filled text", async () => {
    const now = await window.text();
    return !now.includes("___") && now;
  });
  const [head, ...rest] = SHAPES.split("___");
  assert.ok(text.startsWith(head) && text.endsWith(rest.at(-1)));
  await window.command("undo");
  assert.equal(await window.text(), SHAPES);
}

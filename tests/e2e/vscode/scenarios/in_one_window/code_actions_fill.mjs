// The light bulb's list, by keys: a fill is computed when it is picked, and one step of undo takes it back; "choose among
// alternatives" opens the list of alternatives.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";
import { holesOf, SHAPES } from "../../code_text.mjs";
import { untilChoice, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const window = await stage.shared({ "code_actions_fill/shapes.py": SHAPES });
  await window.show("code_actions_fill/shapes.py");
  await untilServing(window);
  const [first] = holesOf(SHAPES);
  await window.select([first]);
  await pick(window, "Fill all 3 holes in this file");
  const text = await until("filled text", async () => {
    const now = await window.text();
    return !now.includes("___") && now;
  });
  const [head, ...rest] = SHAPES.split("___");
  assert.ok(text.startsWith(head) && text.endsWith(rest.at(-1)));
  await window.command("undo");
  assert.equal(await window.text(), SHAPES);

  await window.select([first]);
  await pick(window, "Fill this hole: choose among alternatives…");
  const { alternatives } = await untilChoice(window);
  await window.page.keyboard.press("Enter");
  await until("filled text", async () => (await window.text()) === SHAPES.replace("___", alternatives[0].texts[0]));
}

/** Pick an action at the cursor by keys. */
async function pick(window, title) {
  const focused = window.page.locator(".action-widget .monaco-list-row.focused");
  // An extension that starts just then makes VS Code drop the answer and say that there are no actions: a person presses again.
  await until("list of actions", async () => {
    await window.page.locator(".monaco-editor textarea, .monaco-editor .native-edit-context").first().focus();
    await window.page.keyboard.press("Control+.");
    return focused.waitFor({ timeout: 5_000 }).then(() => true);
  });
  for (let name = await focused.getAttribute("aria-label"); name !== title;) {
    await window.page.keyboard.press("ArrowDown");
    name = await until("next action", async () => {
      const now = await focused.getAttribute("aria-label");
      return now !== name && now;
    });
  }
  await window.page.keyboard.press("Enter");
}

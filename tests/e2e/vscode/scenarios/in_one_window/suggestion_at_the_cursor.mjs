// A suggestion in grey at the cursor: only when it is asked for, unless the setting says otherwise; Tab takes it.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";
import { statusOf, untilServing } from "../../stage.mjs";

const TEXT = `class Point:
    def __init__(self, x, y):
        self.x = x
        self.y =`;

export default async function (stage) {
  const window = await stage.shared({ "suggestion_at_the_cursor/point.py": TEXT });
  await window.show("suggestion_at_the_cursor/point.py");
  await untilServing(window);
  await until("model", async () => (await statusOf(window))?.state === "ready");
  await window.select([[3, 16]]);
  const ghost = window.page.locator(".ghost-text-decoration");
  await window.page.keyboard.type(" ");
  await until("typed space", async () => (await window.text()) === `${TEXT} `);
  await window.command("lacuna.triggerInline");
  await ghost.first().waitFor();
  const shown = (await ghost.innerText()).replaceAll("\u00a0", " ");
  assert.equal(await window.text(), `${TEXT} `);
  await window.page.keyboard.press("Tab");
  await until("suggestion in the text", async () => (await window.text()) === `${TEXT} ${shown}`);

  // From now on unasked, while one types.
  await window.command("lacuna.toggleInline");
  await window.page.keyboard.type("\nself.");
  await ghost.first().waitFor();
  await window.command("lacuna.toggleInline");
}

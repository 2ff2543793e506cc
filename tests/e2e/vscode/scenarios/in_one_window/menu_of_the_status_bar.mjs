// The status bar names the model and where it runs; a click opens the menu, which does what it says.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";
import { SHAPES } from "../../code_text.mjs";
import { statusOf, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const window = await stage.shared({ "menu_of_the_status_bar/shapes.py": SHAPES });
  await window.show("menu_of_the_status_bar/shapes.py");
  await untilServing(window);
  await until("model", async () => (await statusOf(window))?.state === "ready");
  const item = window.page.locator('.statusbar-item[id="lacuna.lacuna.lacuna.status"]');
  await until("name of the model", async () => /Lacuna · lacuna-small · CPU/.test(await item.innerText()));
  await item.click();
  const rows = window.page.locator(".quick-input-widget .monaco-list-row");
  const labels = await until("menu", async () => {
    const all = await rows.allInnerTexts();
    return all.length >= 8 && all;
  });
  for (const label of ["Fill all holes of the file", "Show the surprise map", "Choose the model", "Restart the server", "Show the log"]) {
    assert.ok(
      labels.some((text) => text.includes(label)),
      `${label} is missing: ${labels}`,
    );
  }
  await rows.filter({ hasText: "Show the log" }).click();
  // What is in it can't be seen here: this build of VS Code writes no logs, for its library for that is not compiled.
  const channels = window.page.locator(".part.panel select.monaco-select-box");
  await until("log", () => channels.evaluateAll((all) => all.some((select) => select.selectedOptions[0]?.text === "Lacuna")));
}

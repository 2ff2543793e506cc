// A file that Lacuna doesn't look at: a sentence that says what to do, and nothing in the status bar.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";

export default async function (stage) {
  const window = await stage.shared({ "unknown/notes.txt": "a ___ b\n" });
  await window.show("unknown/notes.txt");
  await window.begin("lacuna.fill");
  assert.match(await window.message("does not look at"), /plaintext.*lacuna\.languages/);
  const item = window.page.locator('.statusbar-item[id="lacuna.lacuna.lacuna.status"]');
  await until("status bar without Lacuna", async () => (await item.count()) === 0);
}

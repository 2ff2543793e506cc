// A fill that takes long shows its progress; cancelled, it changes nothing, says nothing, and the model is free at once.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";
import { LONG, LONG_SETTINGS } from "../../code_text.mjs";
import { fills, serverOf, statusOf, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const window = await stage.open("cancel", { "long.py": LONG }, LONG_SETTINGS);
  await window.show("long.py");
  const { pid } = await untilServing(window);
  await until("model", async () => (await statusOf(window))?.state === "ready");
  await window.begin("lacuna.fillAll");
  await window.message("Lacuna is filling");
  await until("model at work", async () => (await statusOf(window)).state === "working");
  await window.press("Lacuna is filling", "Cancel");
  await until("free model", async () => (await statusOf(window)).state === "ready", 10_000);
  await until("empty corner", async () => (await window.messages()).length === 0);
  assert.equal(await fills(window), null);
  assert.equal(await window.text(), LONG);
  assert.equal((await serverOf(window)).pid, pid);
}

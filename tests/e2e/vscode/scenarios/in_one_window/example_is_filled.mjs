// The example, a file that was never saved, has all its holes filled at once; a selection of it is rewritten.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";
import { fills, untilChoice, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const window = await stage.shared({ "example/a.py": "" });
  await window.show("example/a.py");
  await untilServing(window);
  await window.command("lacuna.openExample");
  const text = await until("example", async () => {
    const now = await window.text();
    return now.includes("___") && now;
  });
  await window.begin("lacuna.fillAll");
  const open = await untilChoice(window);
  assert.equal(open.alternatives[0].edits.length, text.split("___").length - 1);
  await window.page.keyboard.press("Enter");
  await until("filled example", async () => !(await window.text()).includes("___"));

  const before = await window.text();
  const line = before.split("\n").findIndex((each) => each.includes("self.items.append("));
  const start = before.split("\n")[line].indexOf("self");
  await window.select([[line, start, line, before.split("\n")[line].length]]);
  await window.begin("lacuna.fill");
  const { alternatives } = await untilChoice(window);
  const [{ range }] = alternatives[0].edits;
  assert.equal(range.start.line, line);
  await window.page.keyboard.press("Escape");
  await until("closed list", async () => (await fills(window)) === null);
  assert.equal(await window.text(), before);
}

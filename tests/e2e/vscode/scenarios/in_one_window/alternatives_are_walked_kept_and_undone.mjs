// Holes are typed at three cursors and filled jointly. As one walks through the alternatives, all three holes show the one that is
// marked, while the text stays as it is. Escape leaves it so, Enter keeps one, and one step of undo takes it back.
import assert from "node:assert/strict";
import { until } from "../../code.mjs";
import { filled, holesOf, SHAPES } from "../../code_text.mjs";
import { fills, untilChoice, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const places = holesOf(SHAPES);
  const window = await stage.shared({ "alternatives/shapes.py": SHAPES.replaceAll("___", "") });
  await window.show("alternatives/shapes.py");
  await untilServing(window);
  await window.select(places);
  await window.command("lacuna.insertHole");
  assert.equal(await window.text(), SHAPES);

  const picker = window.page.locator(".quick-input-widget");
  await window.begin("lacuna.fill");
  let open = await untilChoice(window);
  assert.match(await picker.locator(".quick-input-title").innerText(), /^Fill 3 holes jointly: \d+ ways/);
  await untilShown(window, open.alternatives[0].texts);
  await window.page.keyboard.press("Escape");
  await until("closed list", async () => (await fills(window)) === null);
  await untilShown(window, []);
  assert.equal(await window.text(), SHAPES);

  await window.begin("lacuna.fill");
  open = await untilChoice(window);
  const { alternatives } = open;
  assert.ok(alternatives.length > 1, "there is nothing to walk through");
  assert.ok(alternatives.every((each, index) => index === 0 || each.logLikelihood <= alternatives[index - 1].logLikelihood));
  const rows = await picker.locator(".monaco-list-row").allInnerTexts();
  assert.equal(rows.length, alternatives.length);
  rows.forEach((row, index) => assert.ok(row.includes(alternatives[index].logLikelihood.toFixed(2).replace("-", "−")), row));
  for (let index = 1; index < alternatives.length; index++) {
    await window.page.keyboard.press("ArrowDown");
    await until(`alternative ${index}`, async () => (await fills(window)).shown === index);
    await untilShown(window, alternatives[index].texts);
    assert.equal(await window.text(), SHAPES);
  }
  await window.page.keyboard.press("ArrowUp");
  const kept = alternatives.at(-2);
  await untilShown(window, kept.texts);
  await window.page.keyboard.press("Enter");
  await until("filled text", async () => (await window.text()) === filled(SHAPES, kept.texts));
  await untilShown(window, []);
  await until("corner without messages", async () => (await window.messages()).length === 0);

  await window.command("undo");
  assert.equal(await window.text(), SHAPES);
  await window.command("redo");
  assert.equal(await window.text(), filled(SHAPES, kept.texts));
}

/** Wait until the editor shows these texts in the places of the holes. */
function untilShown(window, texts) {
  const wanted = texts.flatMap((text) => text.split("\n").map((line) => line.trim())).filter((line) => line !== "");
  return until(`preview of ${JSON.stringify(wanted)}`, async () => {
    const shown = (await window.decorations()).map((text) => text.replaceAll("\u00a0", " "));
    return wanted.length === 0 ? shown.length === 0 : wanted.every((line) => shown.some((text) => text.includes(line)));
  });
}

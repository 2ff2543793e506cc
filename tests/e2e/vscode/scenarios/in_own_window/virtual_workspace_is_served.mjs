// A folder that is on no disk: its files are filled like others.
import { until } from "../../code.mjs";
import { untilChoice, untilServing } from "../../stage.mjs";

export default async function (stage) {
  const window = await stage.openFolder("virtual", "memory:/project");
  await window.show("a.py");
  await untilServing(window);
  const before = await window.text();
  await window.begin("lacuna.fillAll");
  const { alternatives } = await untilChoice(window);
  await window.page.keyboard.press("Enter");
  await until("filled text", async () => (await window.text()) === before.replace("___", alternatives[0].texts[0]));
  await window.command("workbench.action.files.save");
}

// The snippet "hole" types the marker.
import { until } from "../../code.mjs";

export default async function (stage) {
  const window = await stage.shared({ "snippet/a.py": "" });
  await window.show("snippet/a.py");
  await window.page.locator(".monaco-editor textarea, .monaco-editor .native-edit-context").first().focus();
  await window.page.keyboard.type("x = hole");
  const row = window.page.locator(".suggest-widget .monaco-list-row", { hasText: "hole" }).first();
  await row.waitFor();
  await window.page.keyboard.press("Enter");
  await until("hole", async () => (await window.text()) === "x = ___");
}

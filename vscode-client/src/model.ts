// Choosing the model's folder.
import { access } from "node:fs/promises";
import { join } from "node:path";
import { window } from "vscode";
import { set, settings } from "./settings";

/** Ask which model to use, and set it. */
export async function chooseModel(): Promise<void> {
  const present = settings.model();
  const bundled = { label: "$(package) The model that comes with Lacuna", description: present === undefined ? "in use" : "" };
  const folder = { label: "$(folder-opened) Another folder…", description: present === undefined ? "" : `in use: ${present}` };
  const chosen = await window.showQuickPick([bundled, folder], { title: "Lacuna: which model?" });
  if (chosen === bundled) {
    await set("model", undefined);
  } else if (chosen === folder) {
    await chooseFolder();
  }
}

async function chooseFolder(): Promise<void> {
  const chosen = await window.showOpenDialog({
    title: "A model's folder",
    openLabel: "Use This Model",
    canSelectFiles: false,
    canSelectFolders: true,
  });
  const path = chosen?.[0]?.fsPath;
  if (path === undefined) {
    return;
  }
  const isModel = await access(join(path, "manifest.json")).then(
    () => true,
    () => false,
  );
  if (isModel) {
    await set("model", path);
  } else {
    void window.showWarningMessage(`Lacuna: ${path} is no model, for it has no manifest.json.`);
  }
}

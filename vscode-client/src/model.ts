// Choosing the model's folder.
import { access } from "node:fs/promises";
import { join } from "node:path";
import { window, workspace } from "vscode";

/** Ask which model to use, and set it. */
export async function chooseModel(): Promise<void> {
  const present = workspace.getConfiguration("lacuna").get<string | null>("model");
  const bundled = { label: "$(package) The model that comes with Lacuna", description: present ? "" : "in use" };
  const folder = { label: "$(folder-opened) Another folder…", description: present ? `in use: ${present}` : "" };
  const chosen = await window.showQuickPick([bundled, folder], { title: "Lacuna: which model?" });
  if (chosen === bundled) {
    await workspace.getConfiguration("lacuna").update("model", undefined, true);
  } else if (chosen === folder) {
    await chooseFolder();
  }
}

async function chooseFolder(): Promise<void> {
  const chosen = await window.showOpenDialog({ title: "A model's folder", openLabel: "Use This Model", canSelectFiles: false, canSelectFolders: true });
  const path = chosen?.[0]?.fsPath;
  if (path === undefined) {
    return;
  }
  const isModel = await access(join(path, "manifest.json")).then(
    () => true,
    () => false,
  );
  if (isModel) {
    await workspace.getConfiguration("lacuna").update("model", path, true);
  } else {
    void window.showWarningMessage(`Lacuna: ${path} is no model, for it has no manifest.json.`);
  }
}

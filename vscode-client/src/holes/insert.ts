// Typing the marker at every cursor.
import { window } from "vscode";
import { settings } from "../settings";

/** Put a hole in the place of every selection, and the cursors behind them. */
export async function insertHole(): Promise<void> {
  const editor = window.activeTextEditor;
  const hole = settings.marker();
  await editor?.edit((builder) => {
    for (const selection of editor.selections) {
      builder.replace(selection, hole);
    }
  });
}

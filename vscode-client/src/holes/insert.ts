// Typing the marker at every cursor.
import { window } from "vscode";
import { settings } from "../settings";
import type { Holes } from "./holes";

/** Put a hole in the place of every selection, and the cursors behind them. */
export async function insertHole(holes: Holes): Promise<void> {
  const editor = window.activeTextEditor;
  if (editor === undefined) {
    return;
  }
  const hole = holes.of(editor.document)?.marker ?? settings.marker();
  await editor.edit((builder) => {
    for (const selection of editor.selections) {
      builder.replace(selection, hole);
    }
  });
}

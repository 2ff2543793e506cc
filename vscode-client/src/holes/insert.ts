// Typing the marker at every cursor.
import { window, workspace } from "vscode";

const MARKER = "___";

/** Put a hole in the place of every selection, and the cursors behind them. */
export async function insertHole(): Promise<void> {
  const editor = window.activeTextEditor;
  const marker = workspace.getConfiguration("lacuna").get<string | null>("marker") ?? MARKER;
  await editor?.edit((builder) => {
    for (const selection of editor.selections) {
      builder.replace(selection, marker);
    }
  });
}

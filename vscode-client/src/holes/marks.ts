// Marks holes in the text and beside the lines.
import type { TextEditor } from "vscode";
import { DecorationRangeBehavior, Disposable, OverviewRulerLane, ThemeColor, Uri, window } from "vscode";
import type { Holes } from "./holes";

export class Marks {
  readonly #listeners: Disposable;

  constructor(holes: Holes, extension: Uri) {
    const mark = window.createTextEditorDecorationType({
      backgroundColor: new ThemeColor("lacuna.holeBackground"),
      border: "1px dashed",
      borderColor: new ThemeColor("lacuna.holeBorder"),
      borderRadius: "3px",
      gutterIconPath: Uri.joinPath(extension, "media", "gutter.svg"),
      gutterIconSize: "contain",
      overviewRulerColor: new ThemeColor("lacuna.holeBorder"),
      overviewRulerLane: OverviewRulerLane.Center,
      rangeBehavior: DecorationRangeBehavior.ClosedClosed,
    });
    const paint = (editor: TextEditor): void => {
      const found = holes.of(editor.document);
      // Marks move along with the text; those of an older version would be put in wrong places.
      if (found?.version === editor.document.version) {
        editor.setDecorations(mark, found.ranges);
      }
    };
    this.#listeners = Disposable.from(
      mark,
      holes.onDidChange((document) => {
        window.visibleTextEditors.filter((editor) => editor.document === document).forEach(paint);
      }),
      window.onDidChangeVisibleTextEditors((editors) => {
        editors.forEach(paint);
      }),
    );
  }

  dispose(): void {
    this.#listeners.dispose();
  }
}

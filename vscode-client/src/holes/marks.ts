// Marks holes in the text and beside the lines.
import type { TextDocument } from "vscode";
import { DecorationRangeBehavior, Disposable, OverviewRulerLane, ThemeColor, Uri, window } from "vscode";
import type { Holes } from "./holes";

export class Marks {
  readonly #box = window.createTextEditorDecorationType({
    backgroundColor: new ThemeColor("lacuna.holeBackground"),
    border: "1px dashed",
    borderColor: new ThemeColor("lacuna.holeBorder"),
    borderRadius: "3px",
    rangeBehavior: DecorationRangeBehavior.ClosedClosed,
  });
  readonly #sign;
  readonly #listeners: Disposable;
  /** The document in which fills are shown in the places of the holes. */
  #previewed: TextDocument | undefined;

  constructor(
    private readonly holes: Holes,
    extension: Uri,
  ) {
    this.#sign = window.createTextEditorDecorationType({
      gutterIconPath: Uri.joinPath(extension, "media", "gutter.svg"),
      gutterIconSize: "contain",
      overviewRulerColor: new ThemeColor("lacuna.holeBorder"),
      overviewRulerLane: OverviewRulerLane.Center,
    });
    this.#listeners = Disposable.from(
      this.#box,
      this.#sign,
      holes.onDidChange((document) => {
        this.#paint(document);
      }),
      window.onDidChangeVisibleTextEditors((editors) => {
        for (const document of new Set(editors.map((editor) => editor.document))) {
          this.#paint(document);
        }
      }),
    );
  }

  /** Put the boxes away in a document whose holes are covered by fills, or show them again where there is none such. */
  preview(document: TextDocument | undefined): void {
    const before = this.#previewed;
    if (document !== before) {
      this.#previewed = document;
      for (const changed of [before, document].filter((each) => each !== undefined)) {
        this.#paint(changed);
      }
    }
  }

  #paint(document: TextDocument): void {
    const found = this.holes.of(document);
    // Marks move along with the text; those of an older version would be put in wrong places.
    if (found?.version === document.version) {
      for (const editor of window.visibleTextEditors.filter((each) => each.document === document)) {
        editor.setDecorations(this.#box, document === this.#previewed ? [] : found.ranges);
        editor.setDecorations(this.#sign, found.ranges);
      }
    }
  }

  dispose(): void {
    this.#listeners.dispose();
  }
}

// Shows an alternative in the editor by decorations: the text itself stays as it is, so that there is nothing to restore.
import type { TextEditor } from "vscode";
import { Position, Range, TextEditorRevealType, ThemeColor, window } from "vscode";
import type { Alternative } from "../protocol";
import type { Shown } from "./preview";
import { shownRows } from "./preview";

const DEFAULT_TAB = 4;
/** How many lines the list may hide. */
const LINES_COVERED = 8;

export class Painter {
  readonly #hidden = window.createTextEditorDecorationType({ textDecoration: "none; display: none" });
  readonly #shown = window.createTextEditorDecorationType({});
  #scrolledFrom: Position | undefined;

  constructor(private readonly editor: TextEditor) {}

  /** Show this alternative instead of the one before. */
  show({ edits }: Alternative): void {
    const tabSize = typeof this.editor.options.tabSize === "number" ? this.editor.options.tabSize : DEFAULT_TAB;
    const replacements = edits.map(({ range, newText }) => ({ start: range.start, end: range.end, text: newText }));
    const covered = edits.map(({ range }) => new Range(range.start.line, range.start.character, range.end.line, range.end.character));
    this.editor.setDecorations(
      this.#hidden,
      covered.filter((range) => !range.isEmpty),
    );
    this.editor.setDecorations(this.#shown, replacements.flatMap((replacement) => shownRows(replacement, tabSize)).map(decoration));
  }

  /** Bring the first of the places into view, if it is out of it or under the list, which covers the top of the editor. */
  reveal({ edits }: Alternative): void {
    const [first] = edits;
    const [visible] = this.editor.visibleRanges;
    if (first === undefined || visible === undefined) {
      return;
    }
    const { line } = first.range.start;
    if (line < visible.start.line + LINES_COVERED || line > visible.end.line) {
      this.#scrolledFrom = visible.start;
      this.editor.revealRange(new Range(line, 0, line, 0), TextEditorRevealType.InCenter);
    }
  }

  /** Undo what `reveal` did. */
  scrollBack(): void {
    if (this.#scrolledFrom !== undefined) {
      this.editor.revealRange(new Range(this.#scrolledFrom, this.#scrolledFrom), TextEditorRevealType.AtTop);
    }
  }

  dispose(): void {
    this.#hidden.dispose();
    this.#shown.dispose();
  }
}

function decoration({ line, character, text }: Shown): { range: Range; renderOptions: object } {
  const at = new Position(line, character);
  const before = {
    contentText: text,
    color: new ThemeColor("editor.foreground"),
    backgroundColor: new ThemeColor("lacuna.previewBackground"),
    border: "1px solid",
    borderColor: new ThemeColor("lacuna.holeBorder"),
  };
  return { range: new Range(at, at), renderOptions: { before } };
}

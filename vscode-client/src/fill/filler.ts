// "Lacuna: Fill": places of a document filled jointly, and the choice among the alternatives.
import { basename } from "node:path";
import type { CancellationToken, TextDocument, TextEditor } from "vscode";
import { Range, Selection, Uri, window } from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import type { Alternative, FillResult } from "../protocol";
import { isServed } from "../served";
import { endsAfter } from "./ends";
import { moreThan } from "./labels";
import type { Choice } from "./picker";
import { choose } from "./picker";
import type { Place } from "./preview";
import { requestFill } from "./request";

/** The list of alternatives that is open, for tests. */
export interface OpenChoice {
  readonly alternatives: readonly Alternative[];
  readonly shown: number;
}

/** Places of a document that need not be the cursors'. It is JSON, for commands' arguments may go through the server. */
export interface Target {
  readonly uri: string;
  /** None: all holes. */
  readonly ranges?: readonly { readonly start: Place; readonly end: Place }[];
}

export function targetOf(document: TextDocument, ranges: readonly Range[] | undefined): Target {
  const places = ranges?.map(({ start, end }) => ({ start: placeOf(start), end: placeOf(end) }));
  return { uri: document.uri.toString(), ...(places && { ranges: places }) };
}

function placeOf({ line, character }: Place): Place {
  return { line, character };
}

export class Filler {
  #open: OpenChoice | undefined;

  /**
   * `client` waits for a server that is starting, and says so where there is none. `onPreview` hears in which document fills are shown
   * that are not kept yet, and undefined once there are none.
   */
  constructor(
    private readonly client: (token: CancellationToken) => Promise<LanguageClient | undefined>,
    private readonly onPreview: (document: TextDocument | undefined) => void,
  ) {}

  get open(): OpenChoice | undefined {
    return this.#open;
  }

  /** Fill at all cursors and selections of the active editor jointly. */
  async fill(): Promise<void> {
    const editor = served(window.activeTextEditor);
    if (editor !== undefined) {
      await this.#fill(editor, editor.selections, true);
    }
  }

  /** Fill all holes of the active editor's file. */
  async fillAll(): Promise<void> {
    const editor = served(window.activeTextEditor);
    if (editor !== undefined) {
      await this.#fill(editor, undefined, false);
    }
  }

  /** Fill what an action or a lens stands for. */
  async fillAt({ uri, ranges }: Target): Promise<void> {
    const editor = served(await window.showTextDocument(Uri.parse(uri, true)));
    if (editor !== undefined) {
      const places = ranges?.map(({ start, end }) => new Range(start.line, start.character, end.line, end.character));
      await this.#fill(editor, places, false);
    }
  }

  async #fill({ document }: TextEditor, ranges: readonly Range[] | undefined, follow: boolean): Promise<void> {
    const plain = ranges?.map((range) => new Range(range.start, range.end));
    let count: number | undefined;
    for (;;) {
      const result = await requestFill({ document, ranges: plain, count, client: this.client });
      const editor = result && (await editorOf(document));
      if (result === undefined || editor === undefined) {
        return;
      }
      if (document.version !== result.version) {
        void window.showInformationMessage("Lacuna dropped the fill: the document changed meanwhile.");
        return;
      }
      const choice = await this.#choose(editor, result);
      if (choice !== "more") {
        await conclude(editor, choice, result.version, follow);
        return;
      }
      count = moreThan(result);
    }
  }

  #choose(editor: TextEditor, result: FillResult): Promise<Choice> {
    const { alternatives } = result;
    const onShow = (shown: Alternative | undefined): void => {
      this.onPreview(shown && editor.document);
      this.#open = shown && { alternatives, shown: alternatives.indexOf(shown) };
    };
    return choose({ editor, result, onShow });
  }
}

async function conclude(editor: TextEditor, choice: Exclude<Choice, "more">, version: number, follow: boolean): Promise<void> {
  if (choice === "changed" || choice === "closed") {
    void window.showInformationMessage(
      `Lacuna put its alternatives away: the document ${choice === "changed" ? "has changed" : "was closed"}.`,
    );
  } else if (choice !== "left") {
    await keep(editor, choice.kept, version, follow);
  }
}

/** The editor in which a document is visible. While it is not, somebody has gone on to something else, and is asked. */
async function editorOf(document: TextDocument): Promise<TextEditor | undefined> {
  const visible = (): TextEditor | undefined => window.visibleTextEditors.find((editor) => editor.document === document);
  if (visible() === undefined) {
    const show = "Show";
    const chosen = await window.showInformationMessage(`Lacuna has filled ${basename(document.fileName)}.`, show);
    return chosen === show && !document.isClosed ? window.showTextDocument(document) : undefined;
  }
  return window.activeTextEditor?.document === document ? window.activeTextEditor : visible();
}

/** The editor, if it shows a document that Lacuna looks at; else undefined, and it is said. */
function served(editor: TextEditor | undefined): TextEditor | undefined {
  if (editor === undefined) {
    void window.showInformationMessage("Lacuna: open a file, and set the cursor where code is missing.");
    return undefined;
  }
  const { document } = editor;
  if (!isServed(document)) {
    const what = `files of the language ${document.languageId}`;
    void window.showInformationMessage(`Lacuna does not look at ${what}. The setting lacuna.languages says which languages it looks at.`);
    return undefined;
  }
  return editor;
}

/** Make the edits as one step of undo. `follow`: the cursors asked for them, and go to their ends. */
async function keep(editor: TextEditor, { edits }: Alternative, version: number, follow: boolean): Promise<void> {
  const made =
    editor.document.version === version &&
    (await editor.edit((builder) => {
      for (const { range, newText } of edits) {
        builder.replace(new Range(range.start.line, range.start.character, range.end.line, range.end.character), newText);
      }
    }));
  if (!made) {
    void window.showWarningMessage("Lacuna: the editor did not take the fill, for the document has changed or is read-only.");
  } else if (follow) {
    const ends = endsAfter(edits.map(({ range, newText }) => ({ start: range.start, end: range.end, text: newText })));
    editor.selections = ends.map(({ line, character }) => new Selection(line, character, line, character));
  }
}

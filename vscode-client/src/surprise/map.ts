// The surprise map: how unexpected the visible code is, painted in the steps of one colour.
import type { TextDocument, TextEditor, TextEditorDecorationType } from "vscode";
import { CancellationTokenSource, DecorationRangeBehavior, Disposable, languages, MarkdownString, Range, StatusBarAlignment, ThemeColor, window, workspace } from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { ProgressType } from "vscode-languageclient/node";
import { Debounced } from "../debounced";
import type { SurprisePart, SurprisingToken } from "../protocol";
import type { Holes } from "../holes/holes";
import * as protocol from "../protocol";
import { reasonOf } from "../reasons";
import { selector } from "../server/client";
import type { Server } from "../server/lifecycle";
import { byLevel, legend, LEVELS, levelOf } from "./levels";

const QUIET_MS = 250;
/** Lines beyond the visible ones that are scored too, so that little scrolling finds them painted. */
const MARGIN = 30;

const parts = new ProgressType<SurprisePart>();
let requests = 0;

export class SurpriseMap {
  readonly #types: readonly TextEditorDecorationType[];
  readonly #legend = window.createStatusBarItem("lacuna.surpriseMap", StatusBarAlignment.Right, 99);
  readonly #soon = new Debounced<TextEditor>(QUIET_MS, (editor) => this.#renew(editor));
  readonly #running = new Map<TextEditor, CancellationTokenSource>();
  readonly #listeners: Disposable;
  #visible = false;
  #counts = new Map<TextEditor, number[]>();

  constructor(
    private readonly server: Server,
    private readonly holes: Holes,
  ) {
    this.#types = LEVELS.map((_, index) => decorationOf(index + 1));
    this.#legend.name = "Lacuna: legend of the surprise map";
    this.#legend.command = "lacuna.toggleSurpriseMap";
    this.#listeners = Disposable.from(
      ...this.#types,
      this.#legend,
      this.#soon,
      workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length > 0) {
          this.renew((editor) => editor.document === document);
        }
      }),
      window.onDidChangeTextEditorVisibleRanges(({ textEditor }) => {
        this.renew((editor) => editor === textEditor);
      }),
      window.onDidChangeVisibleTextEditors((editors) => {
        this.#counts = new Map([...this.#counts].filter(([editor]) => editors.includes(editor)));
        this.renew((editor) => !this.#counts.has(editor));
      }),
      server.onDidChange(({ kind }) => {
        if (kind === "running") {
          this.renew();
        }
      }),
    );
  }

  get visible(): boolean {
    return this.#visible;
  }

  /** How many tokens of the active editor are painted at each level, from 1. */
  get levels(): readonly number[] {
    const editor = window.activeTextEditor;
    return (editor && this.#counts.get(editor)) ?? LEVELS.map(() => 0);
  }

  toggle(): void {
    this.#visible = !this.#visible;
    if (this.#visible) {
      this.#explain(undefined);
      this.#legend.show();
      for (const editor of window.visibleTextEditors) {
        void this.#renew(editor);
      }
    } else {
      this.#legend.hide();
      for (const source of this.#running.values()) {
        source.cancel();
      }
      for (const editor of window.visibleTextEditors) {
        this.#paint(editor, []);
      }
      this.#counts.clear();
    }
  }

  /** Score again soon, where the map is shown. What is painted stays until then, and moves along with the text. */
  renew(which: (editor: TextEditor) => boolean = () => true): void {
    if (this.#visible) {
      for (const editor of window.visibleTextEditors.filter(which)) {
        this.#soon.call(editor.document.uri.toString() + String(editor.viewColumn), editor);
      }
    }
  }

  async #renew(editor: TextEditor): Promise<void> {
    const { client } = this.server;
    const { document } = editor;
    if (!this.#visible || client === undefined || document.isClosed || languages.match(selector(), document) === 0) {
      return;
    }
    this.#running.get(editor)?.cancel();
    const source = new CancellationTokenSource();
    this.#running.set(editor, source);
    try {
      const { tokens, bitsPerToken } = await this.#ask(client, editor, source);
      if (!source.token.isCancellationRequested && document.version === tokens.version) {
        this.#paint(editor, tokens.tokens);
        this.#explain(bitsPerToken ?? undefined);
      }
    } catch (error) {
      const reason = reasonOf(error);
      if (reason !== undefined && !source.token.isCancellationRequested) {
        this.#legend.text = "$(flame) no map";
        this.#legend.tooltip = reason;
      }
    } finally {
      if (this.#running.get(editor) === source) {
        this.#running.delete(editor);
      }
      source.dispose();
    }
  }

  async #ask(
    client: LanguageClient,
    editor: TextEditor,
    source: CancellationTokenSource,
  ): Promise<{ tokens: SurprisePart; bitsPerToken: number | null }> {
    const { document } = editor;
    const uri = client.code2ProtocolConverter.asUri(document.uri);
    const range = client.code2ProtocolConverter.asRange(aroundVisible(editor));
    const partialResultToken = `lacuna-map-${++requests}`;
    const tokens: SurprisingToken[] = [];
    const isFirst = !this.#counts.has(editor);
    const listener = client.onProgress(parts, partialResultToken, (part) => {
      tokens.push(...part.tokens);
      // An empty map fills as the parts come; one that is painted already is replaced as a whole, lest it flicker.
      if (isFirst && this.#visible && part.version === document.version) {
        this.#paint(editor, tokens);
      }
    });
    try {
      const params = { textDocument: { uri }, version: document.version, range, partialResultToken };
      const { version, bitsPerToken } = await client.sendRequest(protocol.surpriseMap, params, source.token);
      return { tokens: { version, tokens }, bitsPerToken };
    } finally {
      listener.dispose();
    }
  }

  #paint(editor: TextEditor, tokens: readonly SurprisingToken[]): void {
    // A marker is no code: that it surprises says nothing.
    const holes = this.holes.of(editor.document)?.ranges ?? [];
    const painted = tokens
      .filter(({ bits }) => levelOf(bits) > 0)
      .map(({ bits, range }) => ({ bits, range: inked(editor.document, range) }))
      .filter(({ range }) => !range.isEmpty && !holes.some((hole) => hole.intersection(range)?.isEmpty === false));
    const levels = byLevel(painted);
    for (const [index, type] of this.#types.entries()) {
      editor.setDecorations(type, levels[index]?.map(({ range }) => range) ?? []);
    }
    this.#counts.set(editor, levels.map((level) => level.length));
  }

  #explain(bitsPerToken: number | undefined): void {
    this.#legend.text = `$(flame) ${legend()}`;
    const mean = bitsPerToken === undefined ? "" : `\n\nHere, ${bitsPerToken.toFixed(2)} bits a token in the mean.`;
    this.#legend.tooltip = new MarkdownString(
      "**Surprise map**: the stronger the colour, the less the model expected a token where it stands, given all the code around it. " +
        `The steps begin at ${LEVELS.join(", ")} bits; the strongest two are underlined, too.${mean}\n\nA click takes the map away.`,
    );
  }

  dispose(): void {
    for (const source of this.#running.values()) {
      source.cancel();
    }
    this.#listeners.dispose();
  }
}

function aroundVisible(editor: TextEditor): Range {
  const visible = editor.visibleRanges;
  const first = Math.max(0, (visible[0]?.start.line ?? 0) - MARGIN);
  const last = Math.min(editor.document.lineCount - 1, (visible.at(-1)?.end.line ?? 0) + MARGIN);
  return new Range(first, 0, last, editor.document.lineAt(last).range.end.character);
}

/** A token's place without the spaces at its ends, which would look like code when they are underlined. */
function inked(document: TextDocument, { start, end }: SurprisingToken["range"]): Range {
  const range = new Range(start.line, start.character, end.line, end.character);
  const text = document.getText(range);
  const offset = document.offsetAt(range.start);
  const lead = text.length - text.trimStart().length;
  return new Range(document.positionAt(offset + lead), document.positionAt(offset + Math.max(lead, text.trimEnd().length)));
}

/** One colour in steps of opacity, which needs no telling of hues apart; the strongest are underlined besides. */
function decorationOf(level: number): TextEditorDecorationType {
  const underline = ["", "", "underline dotted", "underline 2px"][level - 1] ?? "";
  return window.createTextEditorDecorationType({
    backgroundColor: new ThemeColor(`lacuna.surprise${level}`),
    // What is typed beside a token is not known yet.
    rangeBehavior: DecorationRangeBehavior.ClosedClosed,
    ...(underline === "" ? {} : { textDecoration: underline }),
    ...(level === LEVELS.length ? { overviewRulerColor: new ThemeColor(`lacuna.surprise${level}`) } : {}),
  });
}

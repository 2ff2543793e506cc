// The surprise map: how unexpected the visible code is, painted in the steps of one colour.
import type { TextDocument, TextEditor, TextEditorDecorationType } from "vscode";
import { CancellationTokenSource, DecorationRangeBehavior, Disposable, Range, ThemeColor, window, workspace } from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { LSPErrorCodes, ProgressType, ResponseError } from "vscode-languageclient/node";
import { Debounced } from "../debounced";
import type { Holes } from "../holes/holes";
import type { SurprisePart, SurprisingToken } from "../protocol";
import * as protocol from "../protocol";
import { reasonOf } from "../reasons";
import { isServed } from "../served";
import type { Server } from "../server/lifecycle";
import { Legend } from "./legend";
import { byLevel, LEVELS, levelOf } from "./levels";

const QUIET_MS = 250;
/** Lines beyond the visible ones that are scored too, so that little scrolling finds them painted. */
const MARGIN = 30;

const parts = new ProgressType<SurprisePart>();
let requests = 0;

export class SurpriseMap {
  readonly #types = LEVELS.map((_, index) => decorationOf(index + 1));
  readonly #legend = new Legend();
  readonly #soon = new Debounced<TextDocument>(QUIET_MS, (document) => this.#renew(document));
  readonly #running = new Map<TextDocument, CancellationTokenSource>();
  /** How many tokens are painted at each level. */
  readonly #painted = new Map<TextDocument, number[]>();
  readonly #listeners: Disposable;
  #visible = false;

  constructor(
    private readonly server: Server,
    private readonly holes: Holes,
  ) {
    this.#listeners = Disposable.from(
      ...this.#types,
      this.#legend,
      this.#soon,
      workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length > 0) {
          this.renew(document);
        }
      }),
      window.onDidChangeTextEditorVisibleRanges(({ textEditor }) => {
        this.renew(textEditor.document);
      }),
      window.onDidChangeVisibleTextEditors(() => {
        this.renewAll();
      }),
      workspace.onDidCloseTextDocument((document) => {
        this.#painted.delete(document);
      }),
      server.onDidChange(({ kind }) => {
        if (kind === "running") {
          this.renewAll();
        }
      }),
    );
  }

  get visible(): boolean {
    return this.#visible;
  }

  /** How many tokens of a document are painted at each level, from 1. */
  levelsOf(document: TextDocument | undefined): readonly number[] {
    return (document && this.#painted.get(document)) ?? LEVELS.map(() => 0);
  }

  toggle(): void {
    this.#visible = !this.#visible;
    if (this.#visible) {
      this.#legend.show();
      for (const document of visibleDocuments()) {
        void this.#renew(document);
      }
    } else {
      this.#legend.hide();
      this.#stop();
      for (const document of visibleDocuments()) {
        this.#paint(document, []);
      }
      this.#painted.clear();
    }
  }

  /** Score a document again soon, where the map is shown. What is painted stays until then, and moves along with the text. */
  renew(document: TextDocument): void {
    if (this.#visible && editorsOf(document).length > 0) {
      this.#soon.call(document.uri.toString(), document);
    }
  }

  renewAll(): void {
    for (const document of visibleDocuments()) {
      this.renew(document);
    }
  }

  async #renew(document: TextDocument): Promise<void> {
    const { client } = this.server;
    const range = around(document);
    if (!this.#visible || client === undefined || range === undefined || !isServed(document)) {
      return;
    }
    this.#running.get(document)?.cancel();
    const source = new CancellationTokenSource();
    this.#running.set(document, source);
    try {
      const mean = await this.#ask(client, document, range, source);
      if (!source.token.isCancellationRequested) {
        this.#legend.explain(mean);
      }
    } catch (error) {
      if (!source.token.isCancellationRequested) {
        this.#failed(document, error);
      }
    } finally {
      if (this.#running.get(document) === source) {
        this.#running.delete(document);
      }
      source.dispose();
    }
  }

  #failed(document: TextDocument, error: unknown): void {
    const reason = reasonOf(error);
    if (reason !== undefined) {
      this.#legend.fail(reason);
    } else if (error instanceof ResponseError && error.code === LSPErrorCodes.RequestCancelled) {
      // Not by us: another model has taken over.
      this.renew(document);
    }
  }

  /** Paint what comes, and return the mean bits per token; null for none. */
  async #ask(client: LanguageClient, document: TextDocument, range: Range, source: CancellationTokenSource): Promise<number | null> {
    const { version } = document;
    const uri = client.code2ProtocolConverter.asUri(document.uri);
    const partialResultToken = `lacuna-map-${++requests}`;
    const isFirst = !this.#painted.has(document);
    const tokens: SurprisingToken[] = [];
    const paint = (): void => {
      if (this.#visible && document.version === version && !source.token.isCancellationRequested) {
        this.#paint(document, tokens);
      }
    };
    const listener = client.onProgress(parts, partialResultToken, (part) => {
      tokens.push(...part.tokens);
      // An empty map fills as the parts come; one that is painted already is replaced as a whole, lest it flicker.
      if (isFirst) {
        paint();
      }
    });
    try {
      const asked = client.code2ProtocolConverter.asRange(range);
      const params = { textDocument: { uri }, version, range: asked, partialResultToken };
      const { bitsPerToken } = await client.sendRequest(protocol.surpriseMap, params, source.token);
      paint();
      return bitsPerToken;
    } finally {
      listener.dispose();
    }
  }

  #paint(document: TextDocument, tokens: readonly SurprisingToken[]): void {
    // A marker is no code: that it surprises says nothing.
    const holes = this.holes.of(document)?.ranges ?? [];
    const painted = tokens
      .filter(({ bits }) => levelOf(bits) > 0)
      .map(({ bits, range }) => ({ bits, range: inked(document, range) }))
      .filter(({ range }) => !range.isEmpty && !holes.some((hole) => hole.intersection(range)?.isEmpty === false));
    const levels = byLevel(painted);
    for (const editor of editorsOf(document)) {
      for (const [index, type] of this.#types.entries()) {
        editor.setDecorations(type, levels[index]?.map(({ range }) => range) ?? []);
      }
    }
    this.#painted.set(
      document,
      levels.map((level) => level.length),
    );
  }

  #stop(): void {
    for (const source of this.#running.values()) {
      source.cancel();
    }
  }

  dispose(): void {
    this.#stop();
    this.#listeners.dispose();
  }
}

function editorsOf(document: TextDocument): TextEditor[] {
  return window.visibleTextEditors.filter((editor) => editor.document === document);
}

function visibleDocuments(): Set<TextDocument> {
  return new Set(window.visibleTextEditors.map(({ document }) => document));
}

/** The lines that any editor shows of a document, and some more; undefined where none does. */
function around(document: TextDocument): Range | undefined {
  const visible = editorsOf(document).flatMap(({ visibleRanges }) => visibleRanges);
  if (visible.length === 0) {
    return undefined;
  }
  const first = Math.max(0, Math.min(...visible.map(({ start }) => start.line)) - MARGIN);
  const last = Math.min(document.lineCount - 1, Math.max(...visible.map(({ end }) => end.line)) + MARGIN);
  return new Range(first, 0, last, document.lineAt(last).range.end.character);
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

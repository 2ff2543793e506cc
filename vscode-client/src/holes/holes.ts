// Where the holes of the visible documents are, as the server says; asked again when a text has come to rest.
import type { Event, TextDocument } from "vscode";
import { Disposable, EventEmitter, Range, window, workspace } from "vscode";
import { Debounced } from "../debounced";
import * as protocol from "../protocol";
import { isServed } from "../served";
import type { Server } from "../server/lifecycle";

const QUIET_MS = 150;

/** The holes of one version of a document, in the order of the text. */
export interface Found {
  readonly version: number;
  readonly ranges: readonly Range[];
}

export class Holes {
  readonly #found = new Map<string, Found>();
  readonly #changed = new EventEmitter<TextDocument>();
  readonly #soon = new Debounced<TextDocument>(QUIET_MS, (document) => this.#ask(document));
  readonly #listeners: Disposable;

  constructor(private readonly server: Server) {
    const askVisible = (): void => {
      for (const { document } of window.visibleTextEditors) {
        this.#soon.call(document.uri.toString(), document);
      }
    };
    this.#listeners = Disposable.from(
      this.#changed,
      this.#soon,
      server.onDidChange(({ kind }) => {
        if (kind === "running") {
          askVisible();
        }
      }),
      workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("lacuna")) {
          askVisible();
        }
      }),
      window.onDidChangeVisibleTextEditors(askVisible),
      workspace.onDidChangeTextDocument(({ document }) => {
        this.#soon.call(document.uri.toString(), document);
      }),
      workspace.onDidCloseTextDocument((document) => {
        this.#found.delete(document.uri.toString());
      }),
    );
  }

  /** Fires when the holes of a document are known anew. */
  get onDidChange(): Event<TextDocument> {
    return this.#changed.event;
  }

  /** What was found last; undefined before that. It may be of an older version. */
  of(document: TextDocument): Found | undefined {
    return this.#found.get(document.uri.toString());
  }

  async #ask(document: TextDocument): Promise<void> {
    const { client } = this.server;
    if (client === undefined || document.isClosed || !isServed(document)) {
      return;
    }
    const uri = client.code2ProtocolConverter.asUri(document.uri);
    try {
      const { version, holes } = await client.sendRequest(protocol.holes, { textDocument: { uri } });
      const ranges = holes.map(({ range }) => new Range(range.start.line, range.start.character, range.end.line, range.end.character));
      this.#found.set(document.uri.toString(), { version, ranges });
      this.#changed.fire(document);
    } catch {
      // It was closed meanwhile, or the server ended: there is nothing to mark, and nobody asked.
    }
  }

  dispose(): void {
    this.#listeners.dispose();
  }
}

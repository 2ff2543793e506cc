// The item in the status bar.
import { Disposable, MarkdownString, StatusBarAlignment, ThemeColor, window } from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import type { StatusParams } from "../protocol";
import * as protocol from "../protocol";
import { isServed } from "../served";
import type { Server } from "../server/lifecycle";
import type { StatusText } from "./text";
import { statusText } from "./text";

/** Most requests are over sooner; a sign that blinks at each would only disturb. */
const PATIENCE_MS = 400;

export class StatusBar {
  readonly #item = window.createStatusBarItem("lacuna.status", StatusBarAlignment.Right, 100);
  readonly #listeners: Disposable;
  #status: StatusParams | undefined;
  #busy: NodeJS.Timeout | undefined;
  #onModel: (() => void) | undefined;

  constructor(
    private readonly server: Server,
    private readonly version: string,
  ) {
    this.#item.name = "Lacuna";
    this.#item.command = "lacuna.menu";
    this.#listeners = Disposable.from(
      this.#item,
      server.onDidChange(({ kind }) => {
        if (kind !== "running") {
          this.#status = undefined;
        }
        this.#show();
      }),
      window.onDidChangeActiveTextEditor(() => {
        this.#show();
      }),
    );
    this.#show();
  }

  /** What the server last said of its model. */
  get status(): StatusParams | undefined {
    return this.#status;
  }

  /** What the item says. */
  get words(): StatusText {
    return statusText(this.server.condition, this.#status, this.version);
  }

  /** Call back when another model answers from now on. */
  onModel(call: () => void): void {
    this.#onModel = call;
  }

  /** Listen to a client that is about to start. */
  listen(client: LanguageClient): void {
    client.onNotification(protocol.status, (status) => {
      const before = this.#status?.model;
      this.#status = status;
      clearTimeout(this.#busy);
      if (status.state === "working") {
        this.#busy = setTimeout(() => {
          this.#show();
        }, PATIENCE_MS);
      } else {
        this.#show();
      }
      if (before !== undefined && status.model !== undefined && status.model !== before) {
        this.#onModel?.();
      }
    });
  }

  #show(): void {
    const { text, details, severity } = this.words;
    this.#item.text = text;
    const tooltip = new MarkdownString([...details, "A click opens the menu."].join("\n\n"));
    this.#item.tooltip = tooltip;
    this.#item.backgroundColor = severity === "none" ? undefined : new ThemeColor(`statusBarItem.${severity}Background`);
    const document = window.activeTextEditor?.document;
    // Bad news are shown wherever one is, and otherwise the item only where it has something to do with what is open.
    if (severity !== "none" || (document !== undefined && isServed(document))) {
      this.#item.show();
    } else {
      this.#item.hide();
    }
  }

  dispose(): void {
    clearTimeout(this.#busy);
    this.#listeners.dispose();
  }
}

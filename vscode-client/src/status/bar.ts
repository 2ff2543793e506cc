// The item in the status bar.
import { Disposable, MarkdownString, StatusBarAlignment, ThemeColor, window } from "vscode";
import { isServed } from "../served";
import type { Server } from "../server/lifecycle";
import type { ModelStatus } from "./model";
import type { StatusText } from "./text";
import { statusText } from "./text";

/** Most requests are over sooner; a sign that blinks at each would only disturb. */
const PATIENCE_MS = 400;

export class StatusBar {
  readonly #item = window.createStatusBarItem("lacuna.status", StatusBarAlignment.Right, 100);
  readonly #listeners: Disposable;
  #busy: NodeJS.Timeout | undefined;

  constructor(
    private readonly server: Server,
    private readonly model: ModelStatus,
    private readonly version: string,
  ) {
    const show = (): void => {
      this.#show();
    };
    this.#item.name = "Lacuna";
    this.#item.command = "lacuna.menu";
    this.#listeners = Disposable.from(
      this.#item,
      server.onDidChange(show),
      window.onDidChangeActiveTextEditor(show),
      model.onDidChange((status) => {
        clearTimeout(this.#busy);
        if (status?.state === "working") {
          this.#busy = setTimeout(show, PATIENCE_MS);
        } else {
          show();
        }
      }),
    );
    show();
  }

  /** What the item says. */
  get words(): StatusText {
    return statusText(this.server.condition, this.model.last, this.version);
  }

  #show(): void {
    const { text, details, severity } = this.words;
    this.#item.text = text;
    this.#item.tooltip = new MarkdownString([...details, "A click opens the menu."].join("\n\n"));
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

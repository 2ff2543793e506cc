// "Fill" above the lines with holes.
import type { CodeLensProvider, Event, TextDocument } from "vscode";
import { CodeLens, Disposable, EventEmitter, languages, Range, workspace } from "vscode";
import { targetOf } from "../fill/filler";
import { settings } from "../settings";
import type { Holes } from "./holes";
import { planLenses } from "./lines";

export class Lenses implements CodeLensProvider {
  readonly #changed = new EventEmitter<void>();
  readonly #listeners: Disposable;

  constructor(private readonly holes: Holes) {
    this.#listeners = Disposable.from(
      this.#changed,
      languages.registerCodeLensProvider("*", this),
      holes.onDidChange(() => {
        this.#changed.fire();
      }),
      workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("lacuna.codeLens")) {
          this.#changed.fire();
        }
      }),
    );
  }

  get onDidChangeCodeLenses(): Event<void> {
    return this.#changed.event;
  }

  provideCodeLenses(document: TextDocument): CodeLens[] {
    const found = this.holes.of(document);
    if (found === undefined || !settings.codeLens()) {
      return [];
    }
    return planLenses(found.ranges.map((range) => range.start.line)).map(({ line, title, holes }) => {
      const chosen = holes === "all" ? undefined : holes.flatMap((number) => found.ranges[number] ?? []);
      const command = { title: `$(sparkle) ${title}`, command: "lacuna.fillAt", arguments: [targetOf(document, chosen)] };
      return new CodeLens(new Range(line, 0, line, 0), command);
    });
  }

  dispose(): void {
    this.#listeners.dispose();
  }
}

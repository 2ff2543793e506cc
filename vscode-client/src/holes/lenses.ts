// "Fill" above the lines with holes.
import type { CodeLensProvider, Event, TextDocument } from "vscode";
import { CodeLens, Disposable, EventEmitter, languages, Range, workspace } from "vscode";
import type { Target } from "../fill/filler";
import { SCHEMES } from "../server/client";
import type { Holes } from "./holes";
import { planLenses } from "./lines";

export class Lenses implements CodeLensProvider {
  readonly #changed = new EventEmitter<void>();
  readonly #listeners: Disposable;

  constructor(private readonly holes: Holes) {
    this.#listeners = Disposable.from(
      this.#changed,
      languages.registerCodeLensProvider(SCHEMES.map((scheme) => ({ scheme })), this),
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
    if (found === undefined || !workspace.getConfiguration("lacuna").get<boolean>("codeLens", true)) {
      return [];
    }
    return planLenses(found.ranges.map((range) => range.start.line)).map(({ line, title, holes }) => {
      const chosen = holes === "all" ? undefined : holes.flatMap((number) => found.ranges[number] ?? []);
      const target: Target = { uri: document.uri, ...(chosen && { ranges: chosen }) };
      return new CodeLens(new Range(line, 0, line, 0), { title: `$(sparkle) ${title}`, command: "lacuna.fillAt", arguments: [target] });
    });
  }

  dispose(): void {
    this.#listeners.dispose();
  }
}

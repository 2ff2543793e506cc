// The surprise map's legend in the status bar.
import { MarkdownString, StatusBarAlignment, window } from "vscode";
import { legend, LEVELS } from "./levels";

export class Legend {
  readonly #item = window.createStatusBarItem("lacuna.surpriseMap", StatusBarAlignment.Right, 99);

  constructor() {
    this.#item.name = "Lacuna: legend of the surprise map";
    this.#item.command = "lacuna.toggleSurpriseMap";
  }

  show(): void {
    this.explain(null);
    this.#item.show();
  }

  hide(): void {
    this.#item.hide();
  }

  /** Say what the colours mean, and how surprising the code that was scored last is in the mean. */
  explain(bitsPerToken: number | null): void {
    const mean = bitsPerToken === null ? "" : `\n\nHere, ${bitsPerToken.toFixed(2)} bits a token in the mean.`;
    this.#item.text = `$(flame) ${legend()}`;
    this.#item.tooltip = new MarkdownString(
      "**Surprise map**: the stronger the colour, the less the model expected a token where it stands, given all the code around it. " +
        `The steps begin at ${LEVELS.join(", ")} bits; the strongest two are underlined, too.${mean}\n\nA click takes the map away.`,
    );
  }

  /** Say why there is no map. */
  fail(reason: string): void {
    this.#item.text = "$(flame) no map";
    this.#item.tooltip = reason;
  }

  dispose(): void {
    this.#item.dispose();
  }
}

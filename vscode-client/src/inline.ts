// Text proposed at the cursor: the server proposes, VS Code shows.
import type { TextEditor } from "vscode";
import { CancellationTokenSource, commands, InlineCompletionTriggerKind, window } from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { set, settings } from "./settings";
import type { ModelStatus } from "./status/model";

const SHOWN_MS = 5000;
const LOADING_MS = 60_000;

export class Inline {
  /** Whether the next answer is one that a person has asked for. */
  #awaited = false;

  constructor(private readonly model: ModelStatus) {}

  /** Ask for a proposal where the cursor is. */
  async trigger(): Promise<void> {
    const editor = window.activeTextEditor;
    const state = this.model.last?.state;
    if (editor !== undefined && state !== undefined && state !== "ready" && state !== "working") {
      // The request makes the server load its model, but is not kept waiting for it.
      await suggest();
      if (!(await this.#loaded(editor))) {
        return;
      }
    }
    this.#awaited = true;
    await suggest();
  }

  /** For the language client: says so where there is no proposal and a person waits for one. */
  readonly middleware: Pick<Middleware, "provideInlineCompletionItems"> = {
    provideInlineCompletionItems: async (document, position, context, token, next) => {
      const found = await next(document, position, context, token);
      if (this.#awaited && context.triggerKind === InlineCompletionTriggerKind.Invoke && !token.isCancellationRequested) {
        this.#awaited = false;
        const count = Array.isArray(found) ? found.length : (found?.items.length ?? 0);
        if (count === 0) {
          window.setStatusBarMessage("Lacuna has nothing to suggest here.", SHOWN_MS);
        }
      }
      return found;
    },
  };

  /** Wait for the model; whether it is there, and the editor still as it was. */
  async #loaded(editor: TextEditor): Promise<boolean> {
    const { version } = editor.document;
    const source = new CancellationTokenSource();
    const limit = setTimeout(() => {
      source.cancel();
    }, LOADING_MS);
    const isThere = await this.model.ready(source.token);
    clearTimeout(limit);
    source.dispose();
    return isThere && window.activeTextEditor === editor && editor.document.version === version;
  }
}

async function suggest(): Promise<void> {
  await commands.executeCommand("editor.action.inlineSuggest.trigger");
}

/** Let proposals come unasked while somebody types, or no more. */
export async function toggleInline(): Promise<void> {
  const on = !settings.inline();
  await set("inlineCompletion", on);
  const says = on
    ? "Lacuna now proposes text at the cursor while you type; Tab takes it."
    : "Lacuna proposes text at the cursor only when it is asked to.";
  window.setStatusBarMessage(says, SHOWN_MS);
}

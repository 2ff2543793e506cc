// Text proposed at the cursor: the server proposes, VS Code shows.
import { commands, window } from "vscode";
import { set, settings } from "./settings";

/** Ask for a proposal where the cursor is. */
export async function triggerInline(): Promise<void> {
  await commands.executeCommand("editor.action.inlineSuggest.trigger");
}

/** Let proposals come unasked while somebody types, or no more. */
export async function toggleInline(): Promise<void> {
  const on = !settings.inline();
  await set("inlineCompletion", on);
  const says = on ? "Lacuna now proposes text at the cursor while you type; Tab takes it." : "Lacuna proposes text at the cursor only when it is asked to.";
  void window.setStatusBarMessage(says, 5000);
}

// Text proposed at the cursor: the server proposes, VS Code shows.
import { commands, window, workspace } from "vscode";

/** Ask for a proposal where the cursor is. */
export async function triggerInline(): Promise<void> {
  await commands.executeCommand("editor.action.inlineSuggest.trigger");
}

/** Let proposals come unasked while somebody types, or no more. */
export async function toggleInline(): Promise<void> {
  const settings = workspace.getConfiguration("lacuna");
  const on = !settings.get<boolean>("inlineCompletion", false);
  await settings.update("inlineCompletion", on, true);
  const says = on ? "Lacuna now proposes text at the cursor while you type; Tab takes it." : "Lacuna proposes text at the cursor only when it is asked to.";
  void window.setStatusBarMessage(says, 5000);
}

// The menu behind the status bar's item.
import type { QuickPickItem } from "vscode";
import { commands, QuickPickItemKind, window } from "vscode";
import { isServed } from "../served";
import { settings } from "../settings";
import type { Server } from "../server/lifecycle";
import type { MenuItem } from "./items";
import { menuItems } from "./items";
import type { StatusBar } from "./bar";

/** Show it and do what is chosen. */
export async function showMenu(server: Server, bar: StatusBar, surpriseMap: boolean): Promise<void> {
  const { condition } = server;
  const document = window.activeTextEditor?.document;
  const served = document !== undefined && isServed(document);
  const inline = settings.inline();
  const groups = menuItems({ condition: condition.kind, served, surpriseMap, inline });
  const separator: QuickPickItem = { label: "", kind: QuickPickItemKind.Separator };
  const items: (QuickPickItem | (QuickPickItem & MenuItem))[] = groups.flatMap((group, index) =>
    index === 0 ? group : [separator, ...group],
  );
  const chosen = await window.showQuickPick(items, { title: "Lacuna", placeHolder: bar.words.details.join(" ") });
  if (chosen !== undefined && "command" in chosen) {
    await commands.executeCommand(chosen.command, ...(chosen.argument === undefined ? [] : [chosen.argument]));
  }
}

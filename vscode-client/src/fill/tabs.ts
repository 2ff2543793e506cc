// Whether a document is still in a tab. Its closing is told by VS Code minutes after the last tab with it is gone, or never.
import type { Disposable, Tab, TextDocument } from "vscode";
import { TabInputText, TabInputTextDiff, window } from "vscode";

/** Call back once the last tab with the document was closed. */
export function onLeft(document: TextDocument, call: () => void): Disposable {
  const wanted = document.uri.toString();
  const has = ({ input }: Tab): boolean => {
    const uri = input instanceof TabInputText ? input.uri : input instanceof TabInputTextDiff ? input.modified : undefined;
    return uri?.toString() === wanted;
  };
  return window.tabGroups.onDidChangeTabs(({ closed }) => {
    if (closed.some(has) && !window.tabGroups.all.some(({ tabs }) => tabs.some(has))) {
      call();
    }
  });
}

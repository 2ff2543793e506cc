// The list of alternatives. As one moves through it, all holes in the editor show the one that is marked.
import type { QuickPickItem, TextEditor } from "vscode";
import { Disposable, ThemeIcon, window, workspace } from "vscode";
import type { Alternative, FillResult } from "../protocol";
import { labelsOf, moreThan, placeholderOf, titleOf } from "./labels";
import { Painter } from "./painter";

interface Item extends QuickPickItem {
  readonly alternative: Alternative;
}

/** How the choice ended: with an alternative, without one, with the wish for more, or because the text is no longer what was filled. */
export type Choice = { readonly kept: Alternative } | "left" | "more" | "changed" | "closed";

export interface Choosing {
  readonly editor: TextEditor;
  readonly result: FillResult;
  /** Hears which alternative is shown, and undefined at the end. */
  readonly onShow: (alternative: Alternative | undefined) => void;
}

/** Let a person choose. The text is not touched. */
export async function choose({ editor, result, onShow }: Choosing): Promise<Choice> {
  const { document } = editor;
  const painter = new Painter(editor);
  const picker = window.createQuickPick<Item>();
  const listeners: Disposable[] = [];
  picker.title = titleOf(result);
  picker.placeholder = placeholderOf(result);
  picker.matchOnDescription = true;
  const { alternatives } = result;
  picker.items = labelsOf(alternatives).flatMap((label, index) => {
    const alternative = alternatives[index];
    return alternative === undefined ? [] : [{ ...label, alternative }];
  });
  if (moreThan(result) !== undefined) {
    picker.buttons = [{ iconPath: new ThemeIcon("add"), tooltip: "Draw more ways" }];
  }
  const show = (item: Item | undefined): void => {
    if (item !== undefined) {
      painter.show(item.alternative);
      onShow(item.alternative);
    }
  };
  try {
    const choice = await new Promise<Choice>((resolve) => {
      listeners.push(
        picker.onDidChangeActive(([item]) => {
          show(item);
        }),
        picker.onDidAccept(() => {
          const [item] = picker.activeItems;
          resolve(item === undefined ? "left" : { kept: item.alternative });
        }),
        picker.onDidTriggerButton(() => {
          resolve("more");
        }),
        picker.onDidHide(() => {
          resolve("left");
        }),
        workspace.onDidChangeTextDocument((event) => {
          if (event.document === document && event.contentChanges.length > 0) {
            resolve("changed");
          }
        }),
        workspace.onDidCloseTextDocument((closed) => {
          if (closed === document) {
            resolve("closed");
          }
        }),
      );
      const [first] = picker.items;
      if (first !== undefined) {
        painter.reveal(first.alternative);
        show(first);
      }
      picker.show();
    });
    if (choice === "left") {
      painter.scrollBack();
    }
    return choice;
  } finally {
    Disposable.from(picker, painter, ...listeners).dispose();
    onShow(undefined);
  }
}

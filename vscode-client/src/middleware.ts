// Where VS Code by itself would be silent, or do less than it can with our help.
import { window } from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { targetOf } from "./fill/filler";
import type { Inline } from "./inline";
import { withPatience } from "./progress";
import { reasonOf } from "./reasons";

const CHOOSE = "lacuna.chooseFill";

export function middleware(inline: Inline): Middleware {
  return { ...actions, ...inline.middleware };
}

const actions: Middleware = {
  // The server would ask by a message which alternative to take; the list with its preview does that better.
  provideCodeActions: async (document, range, context, token, next) => {
    const found = (await next(document, range, context, token)) ?? [];
    for (const action of found) {
      if (action.command !== undefined && typeof action.command !== "string" && action.command.command === CHOOSE) {
        action.command = { ...action.command, command: "lacuna.fillAt", arguments: [targetOf(document, [range])] };
      }
    }
    return found;
  },
  // VS Code shows neither that it waits for an action's edit, nor why none has come.
  resolveCodeAction: async (action, token, next) => {
    try {
      return await withPatience(action.title, async (cancel) => next(action, cancel), token);
    } catch (error) {
      const reason = reasonOf(error);
      if (reason !== undefined) {
        void window.showWarningMessage(reason);
      }
      throw error;
    }
  },
};

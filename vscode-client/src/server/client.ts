// One language client for one run of the server.
import type { LogOutputChannel } from "vscode";
import { window } from "vscode";
import type { ClientCapabilities, DynamicFeature, LanguageClientOptions, Middleware, StaticFeature } from "vscode-languageclient/node";
import { CloseAction, ErrorAction, ExecuteCommandRequest, LanguageClient, RevealOutputChannelOn } from "vscode-languageclient/node";
import { targetOf } from "../fill/filler";
import { withPatience } from "../progress";
import { reasonOf } from "../reasons";
import { selector } from "../served";
import type { ServerProcess } from "./process";

const CHOOSE = "lacuna.chooseFill";

class LacunaClient extends LanguageClient {
  // The server's commands bear the names of ours, which do more.
  override registerFeature(feature: StaticFeature | DynamicFeature<unknown>): void {
    if (!("registrationType" in feature && feature.registrationType.method === ExecuteCommandRequest.method)) {
      super.registerFeature(feature);
    }
  }

  // The library's own pop-ups speak of requests and connections. What a person has to know is said by those who asked.
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

/** A client that is not started yet. `start` brings the process; `onClosed` is called once if the connection ends unasked. */
export function createClient(log: LogOutputChannel, start: () => Promise<ServerProcess>, onClosed: () => void): LanguageClient {
  const options: LanguageClientOptions = {
    documentSelector: selector(),
    outputChannel: log,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    initializationFailedHandler: () => false,
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      closed: () => {
        onClosed();
        return { action: CloseAction.DoNotRestart, handled: true };
      },
    },
    middleware,
  };
  const client = new LacunaClient("lacuna", "Lacuna", async () => (await start()).child, options);
  client.registerFeature({
    fillClientCapabilities: (capabilities: ClientCapabilities) => {
      capabilities.experimental = { ...(capabilities.experimental as object | undefined), lacunaStatus: true };
    },
    initialize: () => undefined,
    getState: () => ({ kind: "static" }),
    clear: () => undefined,
  });
  return client;
}

const middleware: Middleware = {
  // The server would ask by a message which alternative to take; the list with its preview does that better.
  provideCodeActions: async (document, range, context, token, next) => {
    const actions = (await next(document, range, context, token)) ?? [];
    for (const action of actions) {
      if (action.command !== undefined && typeof action.command !== "string" && action.command.command === CHOOSE) {
        action.command = { ...action.command, command: "lacuna.fillAt", arguments: [targetOf(document, [range])] };
      }
    }
    return actions;
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

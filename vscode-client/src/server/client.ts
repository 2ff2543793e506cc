// One language client for one run of the server.
import type { LogOutputChannel } from "vscode";
import type { ClientCapabilities, DynamicFeature, LanguageClientOptions, Middleware, StaticFeature } from "vscode-languageclient/node";
import { CloseAction, ErrorAction, ExecuteCommandRequest, LanguageClient, RevealOutputChannelOn } from "vscode-languageclient/node";
import { selector } from "../served";
import type { ServerProcess } from "./process";

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

export interface ClientParts {
  readonly log: LogOutputChannel;
  readonly middleware: Middleware;
  /** Brings the process. */
  readonly start: () => Promise<ServerProcess>;
  /** Called once if the connection ends unasked. */
  readonly onClosed: () => void;
  /** Called whenever the server has been told its settings. */
  readonly onConfigured: () => void;
}

/** A client that is not started yet. */
export function createClient({ log, middleware, start, onClosed, onConfigured }: ClientParts): LanguageClient {
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
    middleware: {
      ...middleware,
      workspace: {
        configuration: async (params, token, next) => {
          const values = await next(params, token);
          // What is asked from now on comes after the answer.
          setImmediate(onConfigured);
          return values;
        },
      },
    },
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

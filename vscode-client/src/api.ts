// What `activate` returns, for tests and for other extensions.
import type { LanguageClient } from "vscode-languageclient/node";
import type { OpenChoice } from "./fill/filler";
import type { StatusParams } from "./protocol";
import type { Condition } from "./server/lifecycle";

export interface LacunaApi {
  /** The language client while a server runs. */
  client(): LanguageClient | undefined;
  /** What there is of a server: `kind` is "missing", "starting", "running" or "stopped". `pid` is its process while there is one. */
  server(): Condition & { readonly pid: number | undefined };
  /** What the server last said of its model (`lacuna/status`); undefined before that. */
  status(): StatusParams | undefined;
  /** Whether the surprise map is shown, and how many tokens of the active editor are painted at each level, from 1. */
  surpriseMap(): { readonly visible: boolean; readonly levels: readonly number[] };
  /** The list of alternatives while it is open, and the index of the one that the editor shows. */
  fills(): OpenChoice | undefined;
}

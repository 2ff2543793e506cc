// What `activate` returns, for tests and for other extensions.
import type { LanguageClient } from "vscode-languageclient/node";
import type { Condition } from "./server/lifecycle";

export interface LacunaApi {
  /** The language client while a server runs. */
  client(): LanguageClient | undefined;
  /** What there is of a server. */
  server(): Condition & { readonly pid: number | undefined };
}

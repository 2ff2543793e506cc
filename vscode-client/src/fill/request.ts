// Asking the server for a fill, with progress and cancel.
import { setTimeout as delay } from "node:timers/promises";
import type { CancellationToken, Progress, Range, TextDocument } from "vscode";
import { CancellationTokenSource, ProgressLocation, window } from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { WorkDoneProgress } from "vscode-languageclient/node";
import type { FillResult } from "../protocol";
import * as protocol from "../protocol";
import { reasonOf } from "../reasons";

/** Most fills are there sooner, and a notification stays for a while even where it has nothing more to say. */
const PATIENCE_MS = 600;

let requests = 0;

export interface Asking {
  readonly document: TextDocument;
  /** None: all markers of the document. */
  readonly ranges: readonly Range[] | undefined;
  /** The client once the server runs; undefined where it doesn't come to that. */
  readonly client: (token: CancellationToken) => Promise<LanguageClient | undefined>;
}

/** The alternatives for the document as it is now; undefined where there are none, and the person was told why, if it wasn't their wish. */
export async function requestFill(asking: Asking): Promise<FillResult | undefined> {
  const source = new CancellationTokenSource();
  let show: Progress<{ message: string }> | undefined;
  const answer = ask(asking, source.token, (message) => show?.report({ message }));
  try {
    const isThere = await Promise.race([answer.then(() => true), delay(PATIENCE_MS, false)]);
    if (!isThere) {
      const options = { location: ProgressLocation.Notification, title: "Lacuna is filling", cancellable: true };
      await window.withProgress(options, async (progress, token) => {
        show = progress;
        token.onCancellationRequested(() => {
          source.cancel();
        });
        await answer;
      });
    }
    return await answer;
  } finally {
    source.dispose();
  }
}

async function ask(asking: Asking, token: CancellationToken, onProgress: (message: string) => void): Promise<FillResult | undefined> {
  const { document, ranges } = asking;
  const { version } = document;
  const client = await asking.client(token);
  if (client === undefined) {
    return undefined;
  }
  const workDoneToken = `lacuna-fill-${++requests}`;
  const listener = client.onProgress(WorkDoneProgress.type, workDoneToken, (value) => {
    if (value.kind === "report" && value.message !== undefined) {
      onProgress(value.message);
    }
  });
  const asked = ranges?.map((range) => client.code2ProtocolConverter.asRange(range));
  const uri = client.code2ProtocolConverter.asUri(document.uri);
  try {
    return await client.sendRequest(protocol.fill, { textDocument: { uri }, version, ...(asked && { ranges: asked }), workDoneToken }, token);
  } catch (error) {
    const reason = reasonOf(error);
    if (reason !== undefined && !token.isCancellationRequested) {
      void window.showWarningMessage(reason);
    }
    return undefined;
  } finally {
    listener.dispose();
  }
}

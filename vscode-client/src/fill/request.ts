// Asking the server for a fill.
import type { CancellationToken, Range, TextDocument } from "vscode";
import { CancellationTokenSource, window } from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { WorkDoneProgress } from "vscode-languageclient/node";
import type { Work } from "../progress";
import { withPatience } from "../progress";
import type { FillResult } from "../protocol";
import * as protocol from "../protocol";
import { reasonOf } from "../reasons";
import { onLeft } from "./tabs";

let requests = 0;

export interface Asking {
  readonly document: TextDocument;
  /** None: all markers of the document. */
  readonly ranges: readonly Range[] | undefined;
  /** How many ways; undefined: as many as the settings say. */
  readonly count: number | undefined;
  /** The client once the server runs; undefined where it doesn't come to that. */
  readonly client: (token: CancellationToken) => Promise<LanguageClient | undefined>;
}

/** The alternatives for the document as it is now; undefined where there are none, and the person was told why, if it wasn't their wish. */
export async function requestFill(asking: Asking): Promise<FillResult | undefined> {
  const left = new CancellationTokenSource();
  const listener = onLeft(asking.document, () => {
    left.cancel();
    void window.showInformationMessage("Lacuna dropped the fill: the document was closed meanwhile.");
  });
  try {
    return await withPatience("Lacuna is filling", ask(asking), left.token);
  } finally {
    listener.dispose();
    left.dispose();
  }
}

function ask({ document, ranges, count, client: ready }: Asking): Work<FillResult | undefined> {
  const { version } = document;
  return async (token, report) => {
    const client = await ready(token);
    if (client === undefined) {
      return undefined;
    }
    const workDoneToken = `lacuna-fill-${++requests}`;
    const listener = client.onProgress(WorkDoneProgress.type, workDoneToken, (value) => {
      if (value.kind === "report" && value.message !== undefined) {
        report(value.message);
      }
    });
    const asked = ranges?.map((range) => client.code2ProtocolConverter.asRange(range));
    const uri = client.code2ProtocolConverter.asUri(document.uri);
    try {
      const places = { textDocument: { uri }, version, ...(asked && { ranges: asked }) };
      return await client.sendRequest(protocol.fill, { ...places, ...(count !== undefined && { count }), workDoneToken }, token);
    } catch (error) {
      const reason = reasonOf(error);
      if (reason !== undefined && !token.isCancellationRequested) {
        void window.showWarningMessage(reason);
      }
      return undefined;
    } finally {
      listener.dispose();
    }
  };
}

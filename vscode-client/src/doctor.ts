// `lacuna doctor`, with the very server that the editor uses, into the log.
import type { LogOutputChannel } from "vscode";
import { ProgressLocation, window } from "vscode";
import type { Finding } from "./server/find";
import { doctorOf } from "./server/find";
import { settings } from "./settings";
import { run } from "./setup/run";

const DOCTOR_MS = 120_000;

/** Run it and show what it prints. `find` looks for the server. */
export async function doctor(log: LogOutputChannel, find: () => Promise<Finding>): Promise<void> {
  const found = await find();
  const call = "missing" in found ? undefined : doctorOf(found.program, found.args);
  if ("missing" in found || call === undefined) {
    const reason = "missing" in found ? `there is no server, for ${found.missing}` : `beside ${found.program} there is no command lacuna`;
    void window.showWarningMessage(`Lacuna can't examine itself: ${reason}.`);
    return;
  }
  const model = settings.model();
  const args = [...call.args, "doctor", ...(model === undefined ? [] : ["--model", model])];
  log.show(true);
  await window.withProgress({ location: ProgressLocation.Notification, title: "Examining Lacuna", cancellable: true }, async (_, token) => {
    const abort = new AbortController();
    token.onCancellationRequested(() => {
      abort.abort();
    });
    const onLine = (line: string): void => {
      log.appendLine(line);
    };
    try {
      const { code } = await run(call.program, args, { folder: found.folder, onLine, signal: abort.signal, milliseconds: DOCTOR_MS });
      void (code === 0
        ? window.showInformationMessage("Lacuna: all is well.")
        : window.showWarningMessage("Lacuna: something is broken; the log says what."));
    } catch (error) {
      if (!abort.signal.aborted) {
        void window.showWarningMessage(`Lacuna can't examine itself: ${error instanceof Error ? error.message : String(error)}.`);
      }
    }
  });
}

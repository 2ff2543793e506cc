// Progress with cancel, for work that may be over before anybody would want to see any.
import { setTimeout as delay } from "node:timers/promises";
import type { CancellationToken, Progress } from "vscode";
import { CancellationTokenSource, ProgressLocation, window } from "vscode";

/** Most fills are there sooner, and a notification stays for a while even where it has nothing more to say. */
const PATIENCE_MS = 600;

export type Work<T> = (token: CancellationToken, report: (message: string) => void) => Promise<T>;

/** Do the work, and show it with a cancel button if it takes longer. Cancelling `outer` cancels it too. */
export async function withPatience<T>(title: string, work: Work<T>, outer?: CancellationToken): Promise<T> {
  const source = new CancellationTokenSource();
  const cancel = (): void => {
    source.cancel();
  };
  const listener = outer?.onCancellationRequested(cancel);
  let shown: Progress<{ message: string }> | undefined;
  const answer = work(source.token, (message) => shown?.report({ message }));
  try {
    if (!(await Promise.race([answer.then(() => true), delay(PATIENCE_MS, false)]))) {
      await window.withProgress({ location: ProgressLocation.Notification, title, cancellable: true }, async (progress, token) => {
        shown = progress;
        token.onCancellationRequested(cancel);
        await answer;
      });
    }
    return await answer;
  } finally {
    listener?.dispose();
    source.dispose();
  }
}

// What the server last said of its model.
import type { CancellationToken, Event } from "vscode";
import { Disposable, EventEmitter } from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import type { StatusParams } from "../protocol";
import * as protocol from "../protocol";
import type { Server } from "../server/lifecycle";

export class ModelStatus {
  readonly #changed = new EventEmitter<StatusParams | undefined>();
  readonly #replaced = new EventEmitter<void>();
  #last: StatusParams | undefined;
  #answering: string | undefined;
  #listener: Disposable | undefined;

  /** Fires with each word of the server; with undefined once there is no server. */
  get onDidChange(): Event<StatusParams | undefined> {
    return this.#changed.event;
  }

  /** Fires when another model answers from now on. */
  get onDidReplace(): Event<void> {
    return this.#replaced.event;
  }

  /** Undefined before the server's first word. */
  get last(): StatusParams | undefined {
    return this.#last;
  }

  /** Forget what a server said once it is gone. */
  follow(server: Server): void {
    this.#listener = server.onDidChange(({ kind }) => {
      if (kind !== "running") {
        this.#become(undefined);
      }
    });
  }

  /** Listen to a client that is about to start. */
  listen(client: LanguageClient): void {
    client.onNotification(protocol.status, (status) => {
      this.#become(status);
      // One that is unloaded in between says none.
      const before = this.#answering;
      this.#answering = status.modelId ?? before;
      if (before !== undefined && this.#answering !== before) {
        this.#replaced.fire();
      }
    });
  }

  /** Wait until the model is there; false where it doesn't come to that. */
  async ready(token: CancellationToken): Promise<boolean> {
    const listeners: Disposable[] = [];
    const outcome = await new Promise<boolean>((resolve) => {
      const look = (status: StatusParams | undefined): void => {
        if (status?.state === "ready" || status?.state === "working") {
          resolve(true);
        } else if (status === undefined || status.state === "failed") {
          resolve(false);
        }
      };
      listeners.push(
        this.onDidChange(look),
        token.onCancellationRequested(() => {
          resolve(false);
        }),
      );
      look(this.#last);
    });
    Disposable.from(...listeners).dispose();
    return outcome;
  }

  #become(status: StatusParams | undefined): void {
    this.#last = status;
    this.#changed.fire(status);
  }

  dispose(): void {
    Disposable.from(this.#changed, this.#replaced, ...(this.#listener === undefined ? [] : [this.#listener])).dispose();
  }
}

// The server from its start to its end: found, started, watched, started again after a crash, and left alone after the third.
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { CancellationToken, Event, LogOutputChannel } from "vscode";
import { commands, Disposable, EventEmitter, window } from "vscode";
import type { LanguageClient, Middleware } from "vscode-languageclient/node";
import { createClient } from "./client";
import { CrashCounter } from "./crashes";
import type { Finding } from "./find";
import { ServerProcess } from "./process";

const START_MS = 60_000;
const CONFIGURED_MS = 2000;
const END_MS = 1000;

/** What there is of a server. `reason` is a sentence for a person; `outdated` as in `Finding`. */
export type Condition =
  | { readonly kind: "missing"; readonly reason: string }
  | { readonly kind: "starting" }
  | { readonly kind: "running"; readonly version: string | undefined; readonly outdated: string | undefined }
  | { readonly kind: "stopped"; readonly reason: string };

interface Run {
  readonly client: LanguageClient;
  process: ServerProcess | undefined;
  over: boolean;
}

/** Runs at most one server at a time. */
export class Server {
  readonly #changed = new EventEmitter<Condition>();
  readonly #crashes = new CrashCounter();
  #condition: Condition = { kind: "missing", reason: "it was not looked for yet" };
  #run: Run | undefined;
  #last: Promise<void> = Promise.resolve();

  /** `find` looks for a server at each start; `prepare` is given each new client before it is started. */
  constructor(
    private readonly log: LogOutputChannel,
    private readonly find: () => Promise<Finding>,
    private readonly prepare: (client: LanguageClient) => void,
    private readonly middleware: Middleware,
  ) {}

  /** Fires at each change of `condition`. */
  get onDidChange(): Event<Condition> {
    return this.#changed.event;
  }

  get condition(): Condition {
    return this.#condition;
  }

  /** The client while the server runs. */
  get client(): LanguageClient | undefined {
    return this.#condition.kind === "running" ? this.#run?.client : undefined;
  }

  /** The client, once a server that is starting runs; undefined where it doesn't, or the wait is cancelled. */
  async ready(token: CancellationToken): Promise<LanguageClient | undefined> {
    if (this.#condition.kind === "starting") {
      const listeners: Disposable[] = [];
      await new Promise<void>((resolve) => {
        listeners.push(
          token.onCancellationRequested(() => {
            resolve();
          }),
          this.onDidChange(({ kind }) => {
            if (kind !== "starting") {
              resolve();
            }
          }),
        );
      });
      Disposable.from(...listeners).dispose();
    }
    return this.client;
  }

  /** The process's number while there is one. */
  get pid(): number | undefined {
    return this.#run?.over === false ? this.#run.process?.child.pid : undefined;
  }

  /** Start, or start again; crashes of before are forgiven. */
  restart(): Promise<void> {
    this.#crashes.forgive();
    this.#interrupt();
    return this.#inTurn(async () => {
      await this.#end();
      await this.#begin();
    });
  }

  /** Say why the server is off, and offer to start it. */
  async offerRestart(reason: string): Promise<void> {
    const chosen = await window.showErrorMessage(reason, "Restart", "Show Log");
    if (chosen !== undefined) {
      await commands.executeCommand(chosen === "Restart" ? "lacuna.restartServer" : "lacuna.showLog");
    }
  }

  /** End it, soon to be started again: until then whoever wants a client waits. */
  pause(): Promise<void> {
    const stopped = this.#stop();
    this.#become({ kind: "starting" });
    return stopped;
  }

  async dispose(): Promise<void> {
    await this.#stop();
    this.#changed.dispose();
  }

  #stop(): Promise<void> {
    this.#interrupt();
    return this.#inTurn(() => this.#end());
  }

  /** End a start that is under way, which may never come to an end by itself. */
  #interrupt(): void {
    const run = this.#run;
    if (this.#condition.kind === "starting" && run?.process !== undefined) {
      run.over = true;
      run.process.child.kill();
    }
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(work, work);
    return this.#last;
  }

  #become(condition: Condition): void {
    this.#condition = condition;
    this.#changed.fire(condition);
  }

  async #begin(): Promise<void> {
    this.#become({ kind: "starting" });
    const found = await this.find();
    if ("missing" in found) {
      this.log.warn(`No server: ${found.missing}`);
      this.#become({ kind: "missing", reason: found.missing });
      return;
    }
    this.log.info(`Starting ${[found.program, ...found.args].join(" ")} in ${found.folder}`);
    let failure: unknown;
    const start = async (): Promise<ServerProcess> => {
      try {
        return (run.process = await ServerProcess.start(found));
      } catch (error) {
        failure = error;
        throw error;
      }
    };
    let onConfigured: () => void = () => undefined;
    const configured = new Promise<void>((resolve) => (onConfigured = resolve));
    const onClosed = (): void => void this.#closed(run);
    const client = createClient({ log: this.log, middleware: this.middleware, start, onClosed, onConfigured });
    const run: Run = { client, process: undefined, over: false };
    this.#run = run;
    this.prepare(client);
    try {
      await startWithin(client, START_MS);
      // A request that overtook the settings would be answered by the defaults.
      await Promise.race([configured, delay(CONFIGURED_MS)]);
      if (!run.over) {
        this.#become({ kind: "running", version: client.initializeResult?.serverInfo?.version, outdated: found.outdated });
      }
    } catch (error) {
      if (run.over) {
        return;
      }
      if (failure instanceof Error) {
        run.over = true;
        this.#giveUp(`Lacuna's server can't be started: ${failure.message}.`);
      } else {
        void this.#closed(run, `it could not be spoken to: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  async #end(): Promise<void> {
    const run = this.#run;
    this.#run = undefined;
    if (run === undefined || run.over) {
      return;
    }
    run.over = true;
    if (run.client.isRunning()) {
      await run.client.stop().catch((error: unknown) => {
        this.log.warn(`The server did not stop in good order: ${String(error)}`);
      });
    }
    run.process?.child.kill();
  }

  /** A server ended that nobody told to, or is of no use: then `why` says so. */
  async #closed(run: Run, why = "it closed the connection"): Promise<void> {
    if (run.over) {
      return;
    }
    run.over = true;
    this.#become({ kind: "starting" });
    const reason = await endOf(run, why);
    this.log.error(`The server crashed: ${reason}`);
    if (this.#crashes.crashed(Date.now())) {
      await this.#inTurn(() => (this.#run === run ? this.#begin() : Promise.resolve()));
    } else if (this.#run === run) {
      this.#giveUp(`Lacuna's server crashed three times within three minutes, so it stays off. The last time ${reason}.`);
    }
  }

  #giveUp(reason: string): void {
    this.#become({ kind: "stopped", reason });
    void this.offerRestart(reason);
  }
}

/** How a run's process ended, which may take a moment to be known; `why` where it goes on, and it is then made to end. */
async function endOf({ process }: Run, why: string): Promise<string> {
  if (process?.ended === undefined) {
    await Promise.race([process && once(process.child, "exit"), delay(END_MS)]);
  }
  process?.child.kill();
  return process?.reason ?? why;
}

async function startWithin(client: LanguageClient, milliseconds: number): Promise<void> {
  const late = new AbortController();
  const limit = delay(milliseconds, undefined, { signal: late.signal }).then(() => {
    throw new Error(`it did not answer within ${milliseconds / 1000} seconds`);
  });
  try {
    await Promise.race([client.start(), limit]);
  } finally {
    late.abort();
    limit.catch(() => undefined);
  }
}

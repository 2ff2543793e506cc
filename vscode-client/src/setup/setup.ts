// Setting the server up: offered where there is none, run with progress, and told plainly where it fails.
import { homedir } from "node:os";
import type { LogOutputChannel, Memento } from "vscode";
import { commands, ProgressLocation, window } from "vscode";
import { set, settings } from "../settings";
import type { Condition, Server } from "../server/lifecycle";
import type { Wheel } from "./environment";
import { removeOthers } from "./environment";
import { install } from "./install";
import { candidates, findPython } from "./python";
import { run } from "./run";

const QUIET = "lacuna.offersNoSetup";
const PROBE_MS = 20_000;

const QUESTION =
  "Lacuna needs its server, a small Python program. Set it up now, in an environment of its own? " +
  "Its packages are fetched once; after that nothing uses the network.";
const NO_WHEEL = "The setting lacuna.server.command can name one.";

const SET_UP = "Set Up";
const UPDATE = "Update";
const OTHER_PYTHON = "Choose a Python…";
const NEVER = "Don't Ask Again";
const LOG = "Show Log";
const RETRY = "Try Again";

export class Setup {
  #offered = false;
  #working = false;

  constructor(
    private readonly log: LogOutputChannel,
    private readonly storage: string,
    private readonly wheel: Wheel | undefined,
    private readonly memory: Memento,
    private readonly server: Server,
  ) {}

  /** Offer to set up a missing server, or to bring an older one up to date; once a session. */
  async offer(condition: Condition): Promise<void> {
    const outdated = condition.kind === "running" ? condition.outdated : undefined;
    const isNeeded = condition.kind === "missing" || outdated !== undefined;
    if (!isNeeded || this.wheel === undefined || this.#offered || this.#working || this.memory.get(QUIET) === this.wheel.sha256) {
      return;
    }
    this.#offered = true;
    if (outdated === undefined) {
      await this.#ask(QUESTION, SET_UP);
    } else {
      await this.#ask(
        `Lacuna's server (${outdated}) is another one than came with this version of the extension (${this.wheel.version}).`,
        UPDATE,
      );
    }
  }

  /** Say why there is no server, and offer to set it up, to somebody who wanted something of it. */
  async insist(reason: string): Promise<void> {
    if (this.wheel === undefined) {
      void window.showErrorMessage(`Lacuna has no server: ${reason}. ${NO_WHEEL}`);
    } else if (!this.#working) {
      await this.#ask(QUESTION, SET_UP);
    }
  }

  async #ask(question: string, yes: string): Promise<void> {
    const chosen = await window.showInformationMessage(question, yes, OTHER_PYTHON, NEVER);
    if (chosen === NEVER) {
      await this.memory.update(QUIET, this.wheel?.sha256);
    } else if (chosen === OTHER_PYTHON) {
      await this.choosePython();
    } else if (chosen === yes) {
      await this.run();
    }
  }

  /** Set the server up, and start it. What goes wrong is told here. */
  async run(): Promise<void> {
    const wheel = this.wheel;
    if (this.#working) {
      return;
    }
    if (wheel === undefined) {
      void window.showErrorMessage(`Lacuna: this copy of the extension carries no server. ${NO_WHEEL}`);
      return;
    }
    this.#working = true;
    try {
      const folder = await this.#install(wheel);
      await this.server.restart();
      await removeOthers(this.storage, folder);
      void window.showInformationMessage("Lacuna is ready: type ___ where code is missing, and fill it.");
    } catch (error) {
      // The one before may have been ended to make room.
      if (this.server.condition.kind === "starting") {
        await this.server.restart();
      }
      await this.#tell(error);
    } finally {
      this.#working = false;
    }
  }

  /** Let a person point at a Python, and set the server up with it. */
  async choosePython(): Promise<void> {
    const filters = process.platform === "win32" ? { filters: { Programs: ["exe"] } } : {};
    const chosen = await window.showOpenDialog({ title: "Python 3.11 or newer", openLabel: "Use This Python", ...filters });
    if (chosen?.[0] !== undefined) {
      await set("python", chosen[0].fsPath);
      await this.run();
    }
  }

  async #install(wheel: Wheel): Promise<string> {
    const title = "Setting up Lacuna ([log](command:lacuna.showLog))";
    return window.withProgress({ location: ProgressLocation.Notification, title, cancellable: true }, async (progress, token) => {
      const abort = new AbortController();
      token.onCancellationRequested(() => {
        abort.abort(new Cancelled());
      });
      progress.report({ message: "looking for Python" });
      const calls = candidates(settings.python(), process.platform);
      const python = await findPython(calls, (program, args) =>
        run(program, args, { folder: homedir(), signal: abort.signal, milliseconds: PROBE_MS }),
      );
      this.log.info(`Setting up with Python ${python.version.join(".")} at ${python.executable}`);
      return install({
        python,
        wheel,
        storage: this.storage,
        signal: abort.signal,
        onLine: (line) => {
          this.log.info(line);
        },
        onComplete: () => this.server.pause(),
        onProgress: (message) => {
          progress.report({ message });
        },
      });
    });
  }

  async #tell(error: unknown): Promise<void> {
    if (error instanceof Cancelled) {
      this.log.info("Setting up was cancelled");
      return;
    }
    const reason = error instanceof Error ? error.message : String(error);
    this.log.error(`Setting up failed: ${reason}`);
    const chosen = await window.showErrorMessage(`Lacuna could not be set up: ${reason}.`, RETRY, OTHER_PYTHON, LOG);
    if (chosen === LOG) {
      await commands.executeCommand("lacuna.showLog");
    } else if (chosen !== undefined) {
      // Not awaited: this work is over, and the next may begin.
      setImmediate(() => void (chosen === RETRY ? this.run() : this.choosePython()));
    }
  }
}

class Cancelled extends Error {}

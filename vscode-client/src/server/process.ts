// The server's process: how it is started, and what is known of its end.
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";

const LINES_KEPT = 20;

/** What starts the server: a program, its arguments, and the folder it runs in, which is never the workspace. */
export interface ServerCommand {
  readonly program: string;
  readonly args: readonly string[];
  readonly folder: string;
}

/** A server that runs or ran. `ended` is a sentence about how, once it has. */
export class ServerProcess {
  ended: string | undefined;
  readonly #said: string[] = [];

  private constructor(readonly child: ChildProcess) {
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said.push(...text.split(/\r?\n/).filter((line) => line.trim() !== ""));
      this.#said.splice(0, this.#said.length - LINES_KEPT);
    });
    child.once("exit", (code, signal) => {
      this.ended = signal === null ? `it ended with exit code ${code ?? "unknown"}` : `it was ended by ${signal}`;
    });
  }

  /** Start it. Rejects with one sentence where that can't be done. */
  static async start(command: ServerCommand): Promise<ServerProcess> {
    const child = spawn(command.program, command.args, {
      cwd: command.folder,
      env: { ...process.env, PYTHONSAFEPATH: "1", PYTHONUNBUFFERED: "1", PYTHONIOENCODING: "utf-8" },
      windowsHide: true,
    });
    const server = new ServerProcess(child);
    try {
      await once(child, "spawn");
    } catch (error) {
      throw new Error(reasonOfSpawnError(command.program, error), { cause: error });
    }
    return server;
  }

  /** How it ended, and the last line that it wrote; undefined while it runs. */
  get reason(): string | undefined {
    const last = this.#said.at(-1);
    return this.ended === undefined || last === undefined ? this.ended : `${this.ended} (${last})`;
  }
}

/** A sentence for the error that `spawn` gives. */
export function reasonOfSpawnError(program: string, error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "ENOENT":
      return `there is no program ${program}`;
    case "EACCES":
      return `${program} may not be run`;
    default:
      return `${program} could not be started: ${error instanceof Error ? error.message : String(error)}`;
  }
}

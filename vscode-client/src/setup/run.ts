// Running a program to its end, line by line.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { reasonOfSpawnError } from "../server/process";

export interface Running {
  /** Where it runs: never the workspace. */
  readonly folder: string;
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
  readonly milliseconds?: number;
}

export interface Ran {
  /** Exit code; null where it was killed. */
  readonly code: number | null;
  readonly lines: readonly string[];
}

/** Run a program until it ends. Rejects, with one sentence, where it can't be started; with the signal's reason once it is aborted. */
export async function run(program: string, args: readonly string[], running: Running): Promise<Ran> {
  const { folder, onLine, signal, milliseconds } = running;
  signal?.throwIfAborted();
  const ownGroup = process.platform !== "win32";
  const child = spawn(program, args, { cwd: folder, detached: ownGroup, windowsHide: true, stdio: ["ignore", "pipe", "pipe"] });
  const kill = (): void => {
    if (child.pid === undefined || child.exitCode !== null) {
      return;
    }
    // What it has started, too.
    if (ownGroup) {
      process.kill(-child.pid);
    } else {
      child.kill();
    }
  };
  const limit = milliseconds === undefined ? undefined : setTimeout(kill, milliseconds);
  signal?.addEventListener("abort", kill);
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream, crlfDelay: Infinity }).on("line", (line) => {
      lines.push(line);
      onLine?.(line);
    });
  }
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", (error) => {
        reject(new Error(reasonOfSpawnError(program, error), { cause: error }));
      });
      child.once("close", resolve);
    });
    signal?.throwIfAborted();
    return { code, lines };
  } finally {
    clearTimeout(limit);
    signal?.removeEventListener("abort", kill);
  }
}

// Making the server's environment: a virtual environment, and the wheel in it.
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Wheel } from "./environment";
import { environmentOf, environments, pythonIn, stamp, unfinished } from "./environment";
import { progressOf, reasonOfFailure } from "./pip";
import type { Python } from "./python";
import type { Ran } from "./run";
import { run } from "./run";

/** The wheel's extra with the grammars of all languages. */
const EXTRA = "languages";

export interface Installation {
  readonly python: Python;
  readonly wheel: Wheel;
  /** The extension's storage. */
  readonly storage: string;
  /** Hears every line that is printed. */
  readonly onLine: (line: string) => void;
  /** Called once all is there, before it takes the place of what may be in use. */
  readonly onComplete: () => Promise<void>;
  /** Hears what is being done, in a few words. */
  readonly onProgress: (doing: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Set up the environment of a wheel, and return its folder. Rejects with a plain reason, or the signal's once it is aborted; then nothing
 * is left of it.
 */
export async function install(work: Installation): Promise<string> {
  const { python, wheel, storage, onLine, onComplete, onProgress, signal } = work;
  const folder = unfinished(storage, `${process.pid}-${Date.now()}`);
  const inside = pythonIn(folder, process.platform);
  const step = async (program: string, args: readonly string[]): Promise<Ran> => {
    onLine(`> ${[program, ...args].join(" ")}`);
    const ran = await run(program, args, {
      folder: storage,
      signal,
      onLine: (line) => {
        tell(line);
      },
    });
    if (ran.code !== 0) {
      throw new Error(reasonOfFailure(ran.lines, python.version));
    }
    return ran;
  };
  const tell = (line: string): void => {
    onLine(line);
    const doing = progressOf(line);
    if (doing !== undefined) {
      onProgress(doing);
    }
  };
  await mkdir(environments(storage), { recursive: true });
  try {
    onProgress("making a virtual environment");
    await step(python.executable, ["-I", "-m", "venv", folder]);
    onProgress("installing");
    await step(inside, [...PIP, "install", "--progress-bar", "off", `${wheel.path}[${EXTRA}]`]);
    onProgress("trying it");
    await step(inside, ["-I", "-c", "import engine.local, lsp_server.server"]);
    const { file, text } = stamp(wheel);
    await writeFile(join(folder, file), text);
    await onComplete();
    return await giveName(folder, environmentOf(storage, wheel));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const PIP = ["-I", "-m", "pip", "--disable-pip-version-check", "--no-input"];

async function giveName(folder: string, name: string): Promise<string> {
  await rm(name, { recursive: true, force: true });
  await rename(folder, name);
  return name;
}

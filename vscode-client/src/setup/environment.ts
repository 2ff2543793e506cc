// The server's own virtual environment, in the extension's storage: one folder for each wheel that was ever installed.
import { constants } from "node:fs";
import { access, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ServerCommand } from "../server/process";

const STAMP = "lacuna.json";
const UNFINISHED = ".new-";
const A_DAY = 24 * 3600 * 1000;

/** The wheel of the server that came with the extension. */
export interface Wheel {
  readonly path: string;
  readonly version: string;
  readonly sha256: string;
}

/** An environment that was set up to the end. `current`: with the wheel that the extension carries now. */
export interface Environment {
  readonly folder: string;
  readonly version: string;
  readonly current: boolean;
}

/** The wheel that lies in a folder of the extension; undefined where there is none, as in a checkout that was never packaged. */
export async function bundledWheel(folder: string): Promise<Wheel | undefined> {
  const told = await readJson(join(folder, "wheel.json"));
  const { file, version, sha256 } = told;
  return file === undefined || version === undefined || sha256 === undefined ? undefined : { path: join(folder, file), version, sha256 };
}

/** Where all environments are. */
export function environments(storage: string): string {
  return join(storage, "servers");
}

/** Where the environment of a wheel is, or will be. */
export function environmentOf(storage: string, wheel: Wheel): string {
  return join(environments(storage), `${wheel.version}-${wheel.sha256.slice(0, 12)}`);
}

/** A folder in which to set one up, so that nothing half done ever bears the real name. */
export function unfinished(storage: string, unique: string): string {
  return join(environments(storage), UNFINISHED + unique);
}

/** What to write into an environment once it is complete. */
export function stamp(wheel: Wheel): { file: string; text: string } {
  return { file: STAMP, text: `${JSON.stringify({ version: wheel.version, sha256: wheel.sha256 })}\n` };
}

export function pythonIn(folder: string, platform: NodeJS.Platform): string {
  return platform === "win32" ? join(folder, "Scripts", "python.exe") : join(folder, "bin", "python");
}

/** The environment to use: that of `wheel`, else one of another wheel; undefined where none is complete and has its Python. */
export async function findEnvironment(
  storage: string,
  wheel: Wheel | undefined,
  platform: NodeJS.Platform,
): Promise<Environment | undefined> {
  const found: Environment[] = [];
  for (const name of await namesIn(environments(storage))) {
    const folder = join(environments(storage), name);
    const { version, sha256 } = await readJson(join(folder, STAMP));
    if (!name.startsWith(UNFINISHED) && version !== undefined && (await isProgram(pythonIn(folder, platform)))) {
      found.push({ folder, version, current: sha256 === wheel?.sha256 });
    }
  }
  return found.find((environment) => environment.current) ?? found.at(-1);
}

/**
 * Remove the environments other than `kept`. Unfinished ones may be another window's work, until they are a day old, and one that can't be
 * removed may be in use there: it is left to the next time.
 */
export async function removeOthers(storage: string, kept: string): Promise<void> {
  for (const name of await namesIn(environments(storage))) {
    const folder = join(environments(storage), name);
    const made = await stat(folder).catch(() => undefined);
    const isOld = made !== undefined && Date.now() - made.mtimeMs > A_DAY;
    if (folder !== kept && (!name.startsWith(UNFINISHED) || isOld)) {
      await rm(folder, { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

/** How the server in an environment is started: by -I neither the current folder nor PYTHONPATH is looked at. */
export function serverIn(folder: string, storage: string, platform: NodeJS.Platform): ServerCommand {
  return { program: pythonIn(folder, platform), args: [...isolated("lsp_server.main"), "--stdio"], folder: storage };
}

/** Arguments by which Python runs the function `main` of a module of the environment. */
export function isolated(module: string): string[] {
  return ["-I", "-c", `import sys; from ${module} import main; sys.exit(main())`];
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** The texts of a JSON object; none where there is no such file. */
async function readJson(file: string): Promise<Partial<Record<string, string>>> {
  try {
    const value: unknown = JSON.parse(await readFile(file, "utf8"));
    const entries = Object.entries(value ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === "string");
    return Object.fromEntries(entries);
  } catch {
    return {};
  }
}

// Finding a Python that the server can run with.
import type { Ran } from "./run";

/** The oldest Python that Lacuna runs with. */
export const OLDEST: Version = [3, 11, 0];

const PROBE = "import json, sys; print(json.dumps([list(sys.version_info[:3]), sys.executable]))";

export type Version = readonly [number, number, number];

/** How a Python is called: a program, and what stands before any other argument. */
export interface Call {
  readonly program: string;
  readonly args: readonly string[];
}

export interface Python {
  readonly executable: string;
  readonly version: Version;
}

/** What to try, the likeliest first. A `chosen` one (the setting `lacuna.python`) is the only one. */
export function candidates(chosen: string | undefined, platform: NodeJS.Platform): Call[] {
  if (chosen !== undefined) {
    return [{ program: chosen.trim(), args: [] }];
  }
  const newer = ["python3.14", "python3.13", "python3.12", "python3.11"];
  const programs = platform === "win32" ? ["python", "python3"] : ["python3", "python", ...newer];
  const calls = programs.map((program) => ({ program, args: [] as string[] }));
  return platform === "win32" ? [{ program: "py", args: ["-3"] }, ...calls] : calls;
}

/** The arguments by which a Python says which one it is. */
export function probe(call: Call): string[] {
  return [...call.args, "-I", "-c", PROBE];
}

/** What it said; undefined where that was something else. */
export function readProbe({ code, lines }: Ran): Python | undefined {
  const said = code === 0 ? lines.at(-1) : undefined;
  const found = said === undefined ? null : /^\[\[(\d+), (\d+), (\d+)\], (".+")\]$/.exec(said);
  if (found === null) {
    return undefined;
  }
  const [, major, minor, micro, executable] = found;
  return { version: [Number(major), Number(minor), Number(micro)], executable: JSON.parse(executable ?? "") as string };
}

export function isNewEnough(version: Version): boolean {
  const place = version.findIndex((number, index) => number !== OLDEST[index]);
  return place === -1 || (version[place] ?? 0) > (OLDEST[place] ?? 0);
}

/** The first of the candidates that is new enough. Rejects with a plain reason where none is. `ask` runs a program. */
export async function findPython(calls: readonly Call[], ask: (program: string, args: readonly string[]) => Promise<Ran>): Promise<Python> {
  const tooOld: Python[] = [];
  for (const call of calls) {
    // One that isn't there is no news: there are more candidates than a machine has.
    const python = readProbe(await ask(call.program, probe(call)).catch(() => ({ code: null, lines: [] })));
    if (python !== undefined && isNewEnough(python.version)) {
      return python;
    }
    tooOld.push(...(python === undefined ? [] : [python]));
  }
  throw new Error(whyNone(calls, tooOld));
}

function whyNone(calls: readonly Call[], tooOld: readonly Python[]): string {
  const oldest = OLDEST.slice(0, 2).join(".");
  const [old] = tooOld;
  if (old !== undefined) {
    return `the Python at ${old.executable} is ${old.version.join(".")}, and Lacuna needs ${oldest} or newer`;
  }
  const [only, other] = calls;
  return other === undefined && only !== undefined
    ? `${only.program} is no Python that can be run`
    : `no Python was found; Lacuna needs ${oldest} or newer`;
}

// Which server to start: the one that the settings name, else the one in the environment of our own.
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Wheel } from "../setup/environment";
import { findEnvironment, isolated, serverIn } from "../setup/environment";
import type { ServerCommand } from "./process";

/** A server to start, or why there is none. `outdated`: the version that our environment has, where that isn't the wheel's. */
export type Finding = (ServerCommand & { readonly outdated?: string }) | { readonly missing: string };

export interface Places {
  /** The setting `lacuna.server.command`. */
  readonly command: readonly string[];
  /** The extension's storage, which is the server's current folder too. */
  readonly storage: string;
  readonly wheel: Wheel | undefined;
  readonly platform: NodeJS.Platform;
}

export async function findServer({ command, storage, wheel, platform }: Places): Promise<Finding> {
  const [program, ...args] = command;
  if (program !== undefined && program.trim() !== "") {
    return { program: withHome(program.trim()), args, folder: storage };
  }
  const environment = await findEnvironment(storage, wheel, platform);
  if (environment === undefined) {
    return { missing: wheel === undefined ? "this copy of the extension carries no server" : "it is not set up yet" };
  }
  const server = serverIn(environment.folder, storage, platform);
  return environment.current || wheel === undefined ? server : { ...server, outdated: environment.version };
}

/** How the command `lacuna` is called that belongs to a server; undefined where that can't be told. */
export function doctorOf(program: string, args: readonly string[]): { program: string; args: string[] } | undefined {
  if (args[0] === "-I" && args[1] === "-c") {
    return { program, args: isolated("lsp_server.cli") };
  }
  const name = basename(program);
  if (!/^lacuna-lsp(?:\.exe)?$/.test(name)) {
    return undefined;
  }
  const beside = name.replace("-lsp", "");
  return { program: program === name ? beside : join(dirname(program), beside), args: [] };
}

function withHome(program: string): string {
  return /^~[/\\]/.test(program) ? join(homedir(), program.slice(2)) : program;
}

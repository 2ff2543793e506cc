// Which server to start: the one that the settings name, else the one in the environment of our own.
import { homedir } from "node:os";
import { join } from "node:path";
import type { Wheel } from "../setup/environment";
import { findEnvironment, serverIn } from "../setup/environment";
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

function withHome(program: string): string {
  return /^~[/\\]/.test(program) ? join(homedir(), program.slice(2)) : program;
}

// The settings that the client reads itself. What a person has written need not be of the kind that the manifest asks for.
import { workspace } from "vscode";
import { texts } from "./texts";

const MARKER = "___";

function value(name: string): unknown {
  return workspace.getConfiguration("lacuna").get<unknown>(name);
}

function textOr<T>(name: string, otherwise: T): string | T {
  const found = value(name);
  return typeof found === "string" && found.trim() !== "" ? found : otherwise;
}

export const settings = {
  /** The server's program and its arguments; empty where it is our own. */
  command: (): string[] => texts(value("server.command")),
  /** The Python to set the server up with; undefined where it is to be looked for. */
  python: (): string | undefined => textOr("python", undefined),
  /** Identifiers of the languages that Lacuna looks at. */
  languages: (): string[] => texts(value("languages")),
  /** The word that stands for a hole. */
  marker: (): string => textOr("marker", MARKER),
  /** The model's folder; undefined for the one that comes with the server. */
  model: (): string | undefined => textOr("model", undefined),
  codeLens: (): boolean => value("codeLens") !== false,
  inline: (): boolean => value("inlineCompletion") === true,
};

/** Write a setting for all workspaces; undefined takes it out. */
export async function set(name: "inlineCompletion" | "model" | "python", to: string | boolean | undefined): Promise<void> {
  await workspace.getConfiguration("lacuna").update(name, to, true);
}

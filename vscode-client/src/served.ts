// Which documents Lacuna looks at.
import type { TextDocument } from "vscode";
import { languages, workspace } from "vscode";
import { settings } from "./settings";

/** As the language client takes it. Where a workspace's folders are doesn't matter: the server sees the text as the editor has it. */
export function selector(): { scheme: string; language: string }[] {
  const folders = workspace.workspaceFolders ?? [];
  const schemes = new Set(["file", "untitled", ...folders.map(({ uri }) => uri.scheme)]);
  return [...schemes].flatMap((scheme) => settings.languages().map((language) => ({ scheme, language })));
}

export function isServed(document: TextDocument): boolean {
  return languages.match(selector(), document) > 0;
}

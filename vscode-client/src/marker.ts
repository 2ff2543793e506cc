// The word that stands for a hole.
import { workspace } from "vscode";

const DEFAULT = "___";

/** As the editor's settings have it. */
export function marker(): string {
  return workspace.getConfiguration("lacuna").get<string | null>("marker") ?? DEFAULT;
}

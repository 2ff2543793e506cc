// The server's own messages, as docs/protocol.md has them.
import type { Position, ProgressToken, Range, TextEdit } from "vscode-languageclient/node";
import { NotificationType, RequestType } from "vscode-languageclient/node";

export type ModelState = "idle" | "loading" | "ready" | "working" | "unloaded" | "failed";

export interface StatusParams {
  state: ModelState;
  model?: string;
  /** Another one for other weights or another precision, even where the name stays. */
  modelId?: string;
  /** "CPU", or the graphics card's name. */
  device?: string;
  /** Why that isn't the graphics card though one could expect it, or why the CPU had to answer in its place. */
  deviceReason?: string;
  /** Why there is no model, or why the last request brought nothing. */
  message?: string;
  request?: string;
}

export interface DocumentParams {
  textDocument: { uri: string };
}

export interface Hole {
  range: Range;
  kind: "marker";
  tie?: string;
}

export interface HolesResult {
  version: number;
  marker: string;
  holes: Hole[];
}

export interface FillParams extends DocumentParams {
  version: number;
  ranges?: Range[];
  count?: number;
  workDoneToken?: ProgressToken;
}

export interface Alternative {
  edits: TextEdit[];
  texts: string[];
  preview: string;
  logLikelihood: number;
  bitsPerToken: number;
  tokens: number;
  mended: string[];
}

export interface FillResult {
  version: number;
  alternatives: Alternative[];
  refused: string[];
  passes: number;
  milliseconds: number;
}

export interface SurpriseMapParams extends DocumentParams {
  version: number;
  range?: Range;
  partialResultToken?: ProgressToken;
  workDoneToken?: ProgressToken;
}

export interface SurprisingToken {
  range: { start: Position; end: Position };
  bits: number;
  rank: number;
  alternatives: [string, number][];
}

export interface SurprisePart {
  version: number;
  tokens: SurprisingToken[];
}

export interface SurpriseMapResult extends SurprisePart {
  bitsPerToken: number | null;
}

export const status = new NotificationType<StatusParams>("lacuna/status");
export const holes = new RequestType<DocumentParams, HolesResult, undefined>("lacuna/holes");
export const fill = new RequestType<FillParams, FillResult, undefined>("lacuna/fill");
export const surpriseMap = new RequestType<SurpriseMapParams, SurpriseMapResult, undefined>("lacuna/surpriseMap");

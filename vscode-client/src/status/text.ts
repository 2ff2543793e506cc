// What the status bar says.
import type { StatusParams } from "../protocol";
import type { Condition } from "../server/lifecycle";

export interface StatusText {
  readonly text: string;
  /** Paragraphs; code and links are Markdown. */
  readonly details: readonly string[];
  readonly severity: "none" | "warning" | "error";
}

/** The words for what there is of a server and, while one runs, for what it last said of its model. `version` is the extension's. */
export function statusText(condition: Condition, status: StatusParams | undefined, version: string): StatusText {
  switch (condition.kind) {
    case "missing":
      return { text: "$(warning) Lacuna: not set up", details: [`There is no server: ${condition.reason}.`], severity: "warning" };
    case "starting":
      return { text: "$(loading~spin) Lacuna", details: ["The server is starting."], severity: "none" };
    case "stopped":
      return { text: "$(error) Lacuna: stopped", details: [condition.reason], severity: "error" };
    case "running":
      return withVersion(ofModel(status), condition.version, version);
  }
}

function withVersion(text: StatusText, server: string | undefined, extension: string): StatusText {
  const other = `The server's version is ${server ?? "unknown"}, the extension's ${extension}.`;
  return server === extension ? text : { ...text, details: [...text.details, other] };
}

function ofModel(status: StatusParams | undefined): StatusText {
  if (status === undefined || status.state === "idle") {
    return { text: "$(check) Lacuna", details: ["Ready. The model is loaded when it is first needed."], severity: "none" };
  }
  const { state, message } = status;
  const said = message === undefined ? [] : [message];
  const model = [
    ...(status.model === undefined ? [] : [`Model: ${[status.model, ...given(status.device)].join(", on the ")}.`]),
    ...given(status.deviceReason).map((reason) => `${reason.charAt(0).toUpperCase()}${reason.slice(1)}.`),
  ];
  const name = ["Lacuna", ...given(status.model), ...given(status.device).map(shortName)].join(" · ");
  switch (state) {
    case "loading":
      return { text: "$(loading~spin) Lacuna: loading the model", details: ["The model is being loaded.", ...said], severity: "none" };
    case "working":
      return { text: `$(loading~spin) ${name}`, details: [...model, "The model is at work."], severity: "none" };
    case "ready":
      return { text: `$(check) ${name}`, details: [...model, ...said], severity: "none" };
    case "unloaded":
      return {
        text: "$(circle-outline) Lacuna: resting",
        details: ["The model has given its memory back, and is loaded when it is needed again.", ...said],
        severity: "none",
      };
    case "failed":
      return { text: "$(error) Lacuna: no model", details: said, severity: "error" };
  }
}

function given(text: string | undefined): string[] {
  return text === undefined ? [] : [text];
}

/** The status bar has no room for the names of graphics cards. */
function shortName(device: string): string {
  return device === "CPU" ? device : "GPU";
}

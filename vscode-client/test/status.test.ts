import assert from "node:assert/strict";
import { test } from "node:test";
import type { StatusParams } from "../src/protocol";
import type { Condition } from "../src/server/lifecycle";
import { menuItems } from "../src/status/items";
import type { StatusText } from "../src/status/text";
import { statusText } from "../src/status/text";

const VERSION = "0.1.0";
const running = { kind: "running", version: VERSION, outdated: undefined } as const;
const model = { model: "lacuna-small", device: "CPU" };

function said(condition: Condition, status?: StatusParams): StatusText {
  return statusText(condition, status, VERSION);
}

test("the model and its device are named, also while it works", () => {
  assert.equal(said(running, { state: "ready", ...model }).text, "$(check) Lacuna · lacuna-small · CPU");
  assert.equal(said(running, { state: "working", ...model }).text, "$(loading~spin) Lacuna · lacuna-small · CPU");
});

test("why the last request brought nothing is told", () => {
  const { details } = said(running, { state: "ready", ...model, message: "no fill was good enough to show" });
  assert.ok(details.includes("no fill was good enough to show"));
});

test("every state has words of its own", () => {
  const states: (StatusParams | undefined)[] = [
    undefined,
    { state: "loading" },
    { state: "unloaded" },
    { state: "failed", message: "no manifest" },
  ];
  const texts = states.map((status) => said(running, status).text);
  assert.equal(new Set(texts).size, states.length);
});

test("a model that can't be loaded is an error, with its reason", () => {
  assert.deepEqual(said(running, { state: "failed", message: "no manifest" }), {
    text: "$(error) Lacuna: no model",
    details: ["no manifest"],
    severity: "error",
  });
});

test("a server that isn't there outweighs what one said of its model", () => {
  const status: StatusParams = { state: "ready", ...model };
  assert.equal(said({ kind: "missing", reason: "it is not set up yet" }, status).severity, "warning");
  assert.deepEqual(said({ kind: "stopped", reason: "It crashed." }, status).details, ["It crashed."]);
  assert.equal(said({ kind: "starting" }, status).severity, "none");
});

test("a server of another version is told", () => {
  assert.ok(!said(running).details.some((text) => text.includes("version")));
  assert.ok(said({ ...running, version: "0.0.9" }).details.includes("The server's version is 0.0.9, the extension's 0.1.0."));
});

test("a graphics card is named in full where there is room for it", () => {
  const { text, details } = said(running, { state: "ready", ...model, device: "NVIDIA H200" });
  assert.equal(text, "$(check) Lacuna · lacuna-small · GPU");
  assert.deepEqual(details, ["Model: lacuna-small, on the NVIDIA H200."]);
});

test("why a graphics card is not used is told, also while the model works", () => {
  const reason = "the CPU runs the model: the NVIDIA H200 has too little memory";
  for (const state of ["ready", "working"] as const) {
    const { details } = said(running, { state, ...model, deviceReason: reason });
    assert.deepEqual(details.slice(0, 2), [
      "Model: lacuna-small, on the CPU.",
      "The CPU runs the model: the NVIDIA H200 has too little memory.",
    ]);
  }
});

const commandsOf = (state: Partial<Parameters<typeof menuItems>[0]>): string[] =>
  menuItems({ condition: "running", served: true, surpriseMap: false, inline: false, ...state })
    .flat()
    .map(({ command }) => command);

test("the menu offers what can be done now", () => {
  assert.ok(commandsOf({}).includes("lacuna.fill"));
  assert.ok(!commandsOf({ served: false }).includes("lacuna.fill"));
  assert.ok(!commandsOf({ condition: "stopped" }).includes("lacuna.fill"));
  assert.ok(!commandsOf({}).includes("lacuna.setUpServer"));
  assert.equal(commandsOf({ condition: "missing" })[0], "lacuna.setUpServer");
  assert.equal(commandsOf({ condition: "stopped" })[0], "lacuna.restartServer");
});

test("the menu's switches say what a click does", () => {
  const labels = (surpriseMap: boolean, inline: boolean): string =>
    menuItems({ condition: "running", served: true, surpriseMap, inline })
      .flat()
      .map(({ label }) => label)
      .join("\n");
  assert.match(labels(false, false), /Show the surprise map[^]*suggestions on/);
  assert.match(labels(true, true), /Hide the surprise map[^]*suggestions off/);
});

// The entry: puts the parts together.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { ExtensionContext } from "vscode";
import { commands, window, workspace } from "vscode";
import { DidChangeConfigurationNotification } from "vscode-languageclient/node";
import type { LacunaApi } from "./api";
import { doctor } from "./doctor";
import { chooseModel } from "./model";
import { findServer } from "./server/find";
import { Server } from "./server/lifecycle";
import { bundledWheel } from "./setup/environment";
import { Setup } from "./setup/setup";

let server: Server | undefined;

export async function activate(context: ExtensionContext): Promise<LacunaApi> {
  const log = window.createOutputChannel("Lacuna", { log: true });
  const storage = context.globalStorageUri.fsPath;
  await mkdir(storage, { recursive: true });
  const wheel = await bundledWheel(join(context.extensionPath, "wheel"));
  const find = (): ReturnType<typeof findServer> => {
    const command = workspace.getConfiguration("lacuna").get<string[]>("server.command", []);
    return findServer({ command, storage, wheel, platform: process.platform });
  };
  const running = (server = new Server(log, find, () => undefined));
  const setup = new Setup(log, storage, wheel, context.globalState, running);
  context.subscriptions.push(
    log,
    running.onDidChange((condition) => void setup.offer(condition)),
    commands.registerCommand("lacuna.restartServer", () => running.restart()),
    commands.registerCommand("lacuna.setUpServer", () => setup.run()),
    commands.registerCommand("lacuna.doctor", () => doctor(log, find)),
    commands.registerCommand("lacuna.chooseModel", chooseModel),
    commands.registerCommand("lacuna.showLog", () => {
      log.show();
    }),
    workspace.onDidChangeConfiguration(async (event) => {
      if (event.affectsConfiguration("lacuna.server.command") || event.affectsConfiguration("lacuna.languages")) {
        await running.restart();
      } else if (event.affectsConfiguration("lacuna")) {
        // The server then asks for what it wants to know.
        await running.client?.sendNotification(DidChangeConfigurationNotification.type, { settings: null });
      }
    }),
  );
  void running.restart();
  return { client: () => running.client, server: () => ({ ...running.condition, pid: running.pid }) };
}

export async function deactivate(): Promise<void> {
  await server?.dispose();
}

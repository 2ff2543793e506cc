// The entry: puts the parts together.
import { mkdir } from "node:fs/promises";
import type { ExtensionContext } from "vscode";
import { commands, window, workspace } from "vscode";
import type { LacunaApi } from "./api";
import type { Finding } from "./server/lifecycle";
import { Server } from "./server/lifecycle";

let server: Server | undefined;

export async function activate(context: ExtensionContext): Promise<LacunaApi> {
  const log = window.createOutputChannel("Lacuna", { log: true });
  const folder = context.globalStorageUri.fsPath;
  await mkdir(folder, { recursive: true });
  const running = (server = new Server(log, () => Promise.resolve(find(folder)), () => undefined));
  context.subscriptions.push(
    log,
    commands.registerCommand("lacuna.restartServer", () => running.restart()),
    commands.registerCommand("lacuna.showLog", () => {
      log.show();
    }),
  );
  void running.restart();
  return { client: () => running.client, server: () => ({ ...running.condition, pid: running.pid }) };
}

export async function deactivate(): Promise<void> {
  await server?.dispose();
}

function find(folder: string): Finding {
  const [program, ...args] = workspace.getConfiguration("lacuna").get<string[]>("server.command", []);
  return program === undefined ? { missing: "the setting lacuna.server.command names none" } : { program, args, folder };
}

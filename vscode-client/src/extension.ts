// The entry: puts the parts together.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { CancellationToken, ExtensionContext } from "vscode";
import { CancellationTokenSource, commands, window, workspace } from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { DidChangeConfigurationNotification } from "vscode-languageclient/node";
import type { LacunaApi } from "./api";
import { doctor } from "./doctor";
import { openExample } from "./example";
import type { Target } from "./fill/filler";
import { Filler } from "./fill/filler";
import { Holes } from "./holes/holes";
import { insertHole } from "./holes/insert";
import { Lenses } from "./holes/lenses";
import { Marks } from "./holes/marks";
import { Inline, toggleInline } from "./inline";
import { middleware } from "./middleware";
import { chooseModel } from "./model";
import { findServer } from "./server/find";
import { Server } from "./server/lifecycle";
import { settings } from "./settings";
import { bundledWheel } from "./setup/environment";
import { Setup } from "./setup/setup";
import { StatusBar } from "./status/bar";
import { showMenu } from "./status/menu";
import { ModelStatus } from "./status/model";
import { SurpriseMap } from "./surprise/map";

let server: Server | undefined;

export async function activate(context: ExtensionContext): Promise<LacunaApi> {
  const log = window.createOutputChannel("Lacuna", { log: true });
  const storage = context.globalStorageUri.fsPath;
  await mkdir(storage, { recursive: true });
  const wheel = await bundledWheel(join(context.extensionPath, "wheel"));
  const find = (): ReturnType<typeof findServer> => {
    return findServer({ command: settings.command(), storage, wheel, platform: process.platform });
  };
  const model = new ModelStatus();
  const inline = new Inline(model);
  const listen = (client: LanguageClient): void => {
    model.listen(client);
  };
  const running = (server = new Server(log, find, listen, middleware(inline)));
  model.follow(running);
  const { version } = context.extension.packageJSON as { version: string };
  const bar = new StatusBar(running, model, version);
  const setup = new Setup(log, storage, wheel, context.globalState, running);
  const needed = (): Promise<LanguageClient | undefined> => clientOrOffer(running, setup, new CancellationTokenSource().token);
  const holes = new Holes(running);
  const marks = new Marks(holes, context.extensionUri);
  const filler = new Filler(
    (token) => clientOrOffer(running, setup, token),
    (document) => {
      marks.preview(document);
    },
  );
  const map = new SurpriseMap(running, holes);
  const command = (name: string, work: (...args: never[]) => unknown): void => {
    context.subscriptions.push(commands.registerCommand(`lacuna.${name}`, work));
  };
  command("fill", () => filler.fill());
  command("fillAll", () => filler.fillAll());
  // What lenses and code actions call; it stands in no menu.
  command("fillAt", (target: Target) => filler.fillAt(target));
  command("insertHole", insertHole);
  command("triggerInline", async () => {
    if ((await needed()) !== undefined) {
      await inline.trigger();
    }
  });
  command("toggleInline", toggleInline);
  command("toggleSurpriseMap", () => {
    map.toggle();
    if (map.visible) {
      void needed();
    }
  });
  command("openExample", openExample);
  command("menu", () => showMenu(running, bar, map.visible));
  command("chooseModel", chooseModel);
  command("setUpServer", () => setup.run());
  command("restartServer", () => running.restart());
  command("doctor", () => doctor(log, find));
  command("showLog", () => {
    log.show();
  });
  context.subscriptions.push(
    log,
    model,
    bar,
    map,
    holes,
    new Lenses(holes),
    marks,
    model.onDidReplace(() => {
      map.renewAll();
    }),
    running.onDidChange((condition) => {
      void commands.executeCommand("setContext", "lacuna.running", condition.kind === "running");
      void setup.offer(condition);
    }),
    workspace.onDidChangeConfiguration(async (event) => {
      if (event.affectsConfiguration("lacuna.server.command") || event.affectsConfiguration("lacuna.languages")) {
        await tellLanguages();
        await running.restart();
      } else if (event.affectsConfiguration("lacuna")) {
        // The server then asks for what it wants to know.
        await running.client?.sendNotification(DidChangeConfigurationNotification.type, { settings: null });
      }
    }),
  );
  await tellLanguages();
  void running.restart();
  return {
    client: () => running.client,
    server: () => ({ ...running.condition, pid: running.pid }),
    status: () => model.last,
    surpriseMap: () => ({ visible: map.visible, levels: map.levelsOf(window.activeTextEditor?.document) }),
    fills: () => filler.open,
  };
}

export async function deactivate(): Promise<void> {
  await server?.dispose();
}

/** Let the manifest's conditions know which languages Lacuna looks at. */
async function tellLanguages(): Promise<void> {
  await commands.executeCommand("setContext", "lacuna.languages", settings.languages());
}

/** The client once there is one. Where there is none, the person who wanted something of it is told why, and what can be done. */
async function clientOrOffer(running: Server, setup: Setup, token: CancellationToken): Promise<LanguageClient | undefined> {
  const client = await running.ready(token);
  const { condition } = running;
  if (client === undefined && condition.kind === "missing") {
    void setup.insist(condition.reason);
  } else if (client === undefined && condition.kind === "stopped") {
    void running.offerRestart(condition.reason);
  }
  return client;
}

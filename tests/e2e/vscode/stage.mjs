// What a scenario or a picture needs: the packaged extension, installed into a VS Code, and windows on folders of their own.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { Code, until } from "./code.mjs";
import { npm, ROOT, setUp } from "./setup.mjs";

const CLIENT = path.join(ROOT, "vscode-client");
const VSIX = path.join(CLIENT, "lacuna.vsix");
// What is drawn must not hang on luck.
const SEED = 1;
const SHARED = "shared";

/** Write the .vsix as a person who builds from source does; what npm installs only where its list changed. Returns its path. */
export function packageExtension(python) {
  const installed = path.join(CLIENT, "node_modules/.package-lock.json");
  const list = path.join(CLIENT, "package-lock.json");
  if (!fs.existsSync(installed) || fs.statSync(installed).mtimeMs < fs.statSync(list).mtimeMs) {
    npm(CLIENT, "ci");
  }
  fs.rmSync(VSIX, { force: true });
  const environment = { ...process.env, PYTHON: python };
  const done = spawnSync("npm", ["run", "package"], { cwd: CLIENT, env: environment, encoding: "utf8", timeout: 180_000 });
  if (done.status !== 0 || !fs.existsSync(VSIX)) {
    throw new Error(`npm run package failed: ${done.error ?? ""}${done.stdout}${done.stderr}`);
  }
  return VSIX;
}

export class Stage {
  #windows = new Map();
  #shared;

  /** `home` is an empty folder; `python` the Python beside which the server `lacuna-lsp` is. */
  constructor(home, python) {
    this.home = home;
    this.python = python;
    this.server = path.join(path.dirname(python), "lacuna-lsp");
    this.code = new Code(setUp(), home);
  }

  async raise() {
    this.code.configure({});
    this.code.install(packageExtension(this.python));
    await this.code.start();
  }

  /**
   * Open a folder with `files` (texts by name) in a window of its own. `settings` count from now on in all windows, beside those
   * that make VS Code hold still and, unless `lacuna.server.command` says otherwise, the server of this project.
   */
  async open(name, files, settings = {}, size = {}) {
    const folder = this.#write(name, files);
    const window = await this.openFolder(name, folder, settings, size);
    window.folder = folder;
    return window;
  }

  /** Open a folder, a path or a URI, as `open` does. */
  async openFolder(name, folder, settings = {}, size = {}) {
    await this.#closeShared();
    this.configure(settings);
    const window = await this.code.open(folder, size);
    this.#windows.set(name, window);
    return window;
  }

  /**
   * The window that scenarios share, in the state in which it was opened, and `files` in its folder. Opening one takes seconds. It is for
   * scenarios that do without settings of their own, or take them back at their end; it is closed once another is opened.
   */
  async shared(files) {
    this.#write(SHARED, files);
    if (this.#shared === undefined) {
      this.configure({});
      this.#shared = await this.code.open(path.join(this.home, "workspaces", SHARED));
    } else {
      await this.#shared.host(async (vscode) => {
        await vscode.commands.executeCommand("workbench.action.closeQuickOpen");
        while (vscode.window.tabGroups.all.some(({ tabs }) => tabs.length > 0)) {
          await vscode.commands.executeCommand("workbench.action.revertAndCloseActiveEditor");
        }
        await vscode.commands.executeCommand("workbench.action.closePanel");
        await vscode.commands.executeCommand("notifications.clearAll");
      });
    }
    return this.#shared;
  }

  #write(name, files) {
    const folder = path.join(this.home, "workspaces", name);
    for (const [file, text] of Object.entries(files)) {
      fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
      fs.writeFileSync(path.join(folder, file), text);
    }
    return folder;
  }

  async #closeShared() {
    const shared = this.#shared;
    this.#shared = undefined;
    await shared?.close();
  }

  /** Settings from now on, as `open` takes them. */
  configure(settings) {
    this.code.configure({ "lacuna.server.command": [this.server], "lacuna.seed": SEED, ...settings });
  }

  get windows() {
    return this.#shared === undefined ? [...this.#windows] : [[SHARED, this.#shared], ...this.#windows];
  }

  /** Close the windows; the shared one only with `all`. */
  async closeWindows({ all }) {
    const windows = [...this.#windows.values()];
    this.#windows.clear();
    await Promise.all([...windows.map((window) => window.close()), ...(all ? [this.#closeShared()] : [])]);
  }

  async strike() {
    await this.closeWindows({ all: true });
    await this.code.stop();
  }
}

/** What the extension says about its server: `kind`, `reason`, `pid`; undefined before it is active. */
export function serverOf(window) {
  return window.host((vscode) => vscode.extensions.getExtension("lacuna.lacuna")?.exports?.server());
}

/** The open list of alternatives, `{alternatives, shown}`; null while there is none. */
export function fills(window) {
  return window.host((vscode) => vscode.extensions.getExtension("lacuna.lacuna").exports.fills());
}

/** Wait for the list of alternatives, open and with the focus; return it. */
export async function untilChoice(window) {
  const open = await until("list of alternatives", () => fills(window));
  // The extension knows of it before the page shows it.
  await window.page.locator(".quick-input-widget .monaco-list-row").first().waitFor();
  await window.page.locator(".quick-input-widget .quick-input-box input:focus").waitFor();
  return open;
}

/** What the server last said of its model: `{state, model, device}`. */
export function statusOf(window) {
  return window.host((vscode) => vscode.extensions.getExtension("lacuna.lacuna")?.exports?.status());
}

/** Wait until a server runs that is not the one of `before`. */
export function untilServing(window, before) {
  return until("running server", async () => {
    const server = await serverOf(window);
    return server?.kind === "running" && server.pid !== before?.pid && server;
  });
}

// A VS Code server with its own, empty profile; windows on it in a headless Chromium; and in each window an agent inside the
// extension host that evaluates functions with VS Code's API.

import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";

// Machines of continuous integration are slow and busy; all waits end as soon as what they wait for is there.
export const PATIENCE_MS = 60_000;

// The settings whose scope is "machine" in the extension's manifest.
const OF_MACHINE = ["lacuna.model", "lacuna.python", "lacuna.server.command"];
// Nothing that moves, hides code or asks for something.
const STEADY = {
  "chat.commandCenter.enabled": false,
  "editor.cursorBlinking": "solid",
  "editor.minimap.enabled": false,
  "editor.occurrencesHighlight": "off",
  "extensions.ignoreRecommendations": true,
  "files.autoSave": "off",
  "git.enabled": false,
  "security.workspace.trust.enabled": false,
  "security.workspace.trust.startupPrompt": "never",
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "workbench.reduceMotion": "on",
  "workbench.startupEditor": "none",
  "workbench.tips.enabled": false,
};

/** Ask again and again until the answer is truthy, and return it. `what` completes "there was no ...". */
export async function until(what, ask, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  let problem;
  for (;;) {
    try {
      const answer = await ask();
      if (answer) {
        return answer;
      }
      problem = undefined;
    } catch (error) {
      problem = error;
    }
    if (Date.now() > end) {
      throw new Error(`after ${patience / 1000} s there was no ${what}${problem ? `: ${problem.message}` : ""}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function freePort() {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** The socket at which the agents of the windows call. */
class Agents {
  #server = net.createServer((socket) => this.#greet(socket));
  #byFolder = new Map();

  async listen() {
    this.#server.listen(0, "127.0.0.1");
    await new Promise((resolve) => this.#server.once("listening", resolve));
    return this.#server.address().port;
  }

  #greet(socket) {
    const agent = { socket, waiting: new Map(), next: 1 };
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop();
      for (const message of lines.map((line) => JSON.parse(line))) {
        if (message.id === undefined) {
          this.#byFolder.set(message.folder, agent);
        } else {
          agent.waiting.get(message.id)?.(message);
          agent.waiting.delete(message.id);
        }
      }
    });
    const gone = () => {
      agent.waiting.forEach((answer) => answer({ problem: "the extension host went away" }));
      agent.waiting.clear();
    };
    socket.on("error", gone);
    socket.on("close", gone);
  }

  of(folder) {
    return this.#byFolder.get(folder);
  }

  forget(folder) {
    this.#byFolder.get(folder)?.socket.destroy();
    this.#byFolder.delete(folder);
  }

  close() {
    [...this.#byFolder.keys()].forEach((folder) => this.forget(folder));
    this.#server.close();
  }
}

export class Code {
  #agents = new Agents();
  #browser;
  #process;
  #port;
  #log;

  /** `tools` is what setUp() returned; `home` an empty folder for all that VS Code writes. */
  constructor(tools, home) {
    this.tools = tools;
    this.home = home;
    fs.mkdirSync(path.join(home, "user"), { recursive: true });
  }

  #arguments(...more) {
    const data = path.join(this.home, "data");
    const folders = ["--server-data-dir", data, "--user-data-dir", data, "--extensions-dir", path.join(this.home, "extensions")];
    return [this.tools.server, ...folders, "--accept-server-license-terms", "--telemetry-level", "off", ...more];
  }

  #environment(more) {
    return { ...process.env, HOME: path.join(this.home, "user"), EXTENSIONS_GALLERY: '{"serviceUrl":""}', ...more };
  }

  /** Install a .vsix as `code --install-extension` does. */
  install(vsix) {
    const done = spawnSync(process.execPath, this.#arguments("--install-extension", vsix), {
      env: this.#environment({}),
      encoding: "utf8",
      timeout: PATIENCE_MS,
    });
    if (done.status !== 0 || !done.stdout.includes("was successfully installed")) {
      throw new Error(`the extension was not installed: ${done.stdout}${done.stderr}`);
    }
  }

  /** Settings of the user and of the machine, for all windows; those that are not named go back to their defaults. */
  configure(settings) {
    const all = Object.entries({ ...STEADY, ...settings });
    const write = (folder, some) => {
      fs.mkdirSync(path.join(this.home, "data", folder), { recursive: true });
      fs.writeFileSync(path.join(this.home, "data", folder, "settings.json"), JSON.stringify(Object.fromEntries(some)));
    };
    // In a window on a server, settings that are of a machine are the server's.
    const isOfMachine = (name) => OF_MACHINE.includes(name);
    write(
      "User",
      all.filter(([name]) => !isOfMachine(name)),
    );
    write(
      "Machine",
      all.filter(([name]) => isOfMachine(name)),
    );
  }

  async start() {
    const agents = await this.#agents.listen();
    this.#port = await freePort();
    this.#log = fs.openSync(path.join(this.home, "server.log"), "a");
    const address = ["--host", "127.0.0.1", "--port", `${this.#port}`, "--without-connection-token"];
    this.#process = spawn(process.execPath, this.#arguments(...address), {
      env: this.#environment({ LACUNA_TEST_PORT: `${agents}` }),
      stdio: ["ignore", this.#log, this.#log],
    });
    await until("VS Code server", async () => (await fetch(`http://127.0.0.1:${this.#port}/version`)).ok);
    // No network: all that this browser needs is on 127.0.0.1.
    const switches = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
    switches.push("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage");
    const { chromium, playwright } = this.tools;
    this.#browser = await playwright.chromium.launch({ executablePath: chromium, args: switches, timeout: PATIENCE_MS });
  }

  /** Open a folder, a path or a URI, in a window of its own. */
  async open(folder, { width = 1000, height = 640 } = {}) {
    const context = await this.#browser.newContext({ viewport: { width, height } });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    const log = [];
    page.on("console", (message) => log.push(`console ${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => log.push(`page: ${error.stack ?? error}`));
    await page.goto(`http://127.0.0.1:${this.#port}/?folder=${encodeURIComponent(folder)}`);
    const agent = await until("extension host", () => this.#agents.of(folder));
    return new Window(page, agent, log, async () => {
      this.#agents.forget(folder);
      await context.close();
    });
  }

  async stop() {
    this.#agents.close();
    await this.#browser?.close();
    if (this.#process && this.#process.exitCode === null) {
      const ended = new Promise((resolve) => this.#process.once("exit", resolve));
      this.#process.kill("SIGTERM");
      const hurry = setTimeout(() => this.#process.kill("SIGKILL"), 5_000);
      await ended;
      clearTimeout(hurry);
    }
    if (this.#log !== undefined) {
      fs.closeSync(this.#log);
    }
  }
}

export class Window {
  #agent;

  constructor(page, agent, log, close) {
    this.page = page;
    this.#agent = agent;
    this.log = log;
    this.close = close;
  }

  /** Evaluate `work(vscode, argument)` in the extension host; argument and result travel as JSON. */
  async host(work, argument) {
    const agent = this.#agent;
    const id = agent.next++;
    const answered = new Promise((resolve) => agent.waiting.set(id, resolve));
    agent.socket.write(`${JSON.stringify({ id, source: work.toString(), argument: argument ?? null })}\n`);
    const late = `the extension host did not answer within ${PATIENCE_MS / 1000} s: ${work.toString().slice(0, 200)}`;
    let timer;
    const answer = await Promise.race([
      answered,
      new Promise((resolve) => (timer = setTimeout(() => resolve({ problem: late }), PATIENCE_MS))),
    ]);
    clearTimeout(timer);
    if (answer.problem !== undefined) {
      throw new Error(answer.problem);
    }
    return answer.value;
  }

  /** Run a command to its end. */
  command(name, ...args) {
    return this.host((vscode, { name, args }) => vscode.commands.executeCommand(name, ...args), { name, args });
  }

  /** Start a command without waiting for its end. */
  begin(name, ...args) {
    return this.host((vscode, { name, args }) => void vscode.commands.executeCommand(name, ...args), { name, args });
  }

  /** Open a file of the workspace as a click in the explorer does, and give it the focus. */
  async show(name) {
    await this.host(async (vscode, name) => {
      const file = vscode.Uri.joinPath(vscode.workspace.workspaceFolders[0].uri, name);
      await vscode.commands.executeCommand("vscode.open", file, { preview: false });
    }, name);
    const shown = () => this.host((vscode) => vscode.window.activeTextEditor?.document.uri.path);
    await until(`editor of ${name}`, async () => (await shown())?.endsWith(`/${name}`));
  }

  /** The text of the active editor. */
  text() {
    return this.host((vscode) => vscode.window.activeTextEditor?.document.getText());
  }

  /** Cursors at [line, character] or selections [line, character, line, character], from 0. */
  select(places) {
    return this.host(async (vscode, places) => {
      const editor = vscode.window.activeTextEditor;
      const wanted = places.map(([line, character, ...end]) => new vscode.Selection(line, character, end[0] ?? line, end[1] ?? character));
      const there = (selections) => selections.length === wanted.length && wanted.every((each, index) => each.isEqual(selections[index]));
      if (!there(editor.selections)) {
        // The page does it a moment later, and tells.
        await new Promise((resolve) => {
          const listener = vscode.window.onDidChangeTextEditorSelection(({ textEditor, selections }) => {
            if (textEditor === editor && there(selections)) {
              listener.dispose();
              resolve();
            }
          });
          editor.selections = wanted;
        });
      }
    }, places);
  }

  /** Wait for a message at the lower right that contains `words`; return its whole text. */
  message(words) {
    return until(`message with "${words}"`, async () => (await this.messages()).find((text) => text.includes(words)));
  }

  /** All messages at the lower right. */
  messages() {
    return this.page.locator(".notifications-toasts .notification-list-item-message").allInnerTexts();
  }

  /** Where these words stand first on the page's code: {left, right, top, bottom} in pixels. */
  boxOf(words) {
    return this.page.evaluate((words) => {
      const textOf = (line) => line.textContent.replaceAll("\u00a0", " ");
      const line = [...document.querySelectorAll(".view-line")].find((each) => textOf(each).includes(words));
      if (line === undefined) {
        throw new Error(`${words} is not on the page`);
      }
      const start = textOf(line).indexOf(words);
      const end = start + words.length;
      const range = document.createRange();
      // A line is in many pieces.
      const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
      for (let [node, at] = [walker.nextNode(), 0]; node; at += node.length, node = walker.nextNode()) {
        if (at <= start && start < at + node.length) {
          range.setStart(node, start - at);
        }
        if (at < end && end <= at + node.length) {
          range.setEnd(node, end - at);
        }
      }
      const { left, right, top, bottom } = range.getBoundingClientRect();
      return { left, right, top, bottom };
    }, words);
  }

  /** Rest the mouse on the first of these words. */
  async pointAt(words) {
    const { left, right, top, bottom } = await this.boxOf(words);
    await this.page.mouse.move((left + right) / 2, (top + bottom) / 2, { steps: 3 });
  }

  /** What decorations add to the visible text of the active editor, in the order of the text. */
  decorations() {
    return this.page.locator(".editor-instance .view-line span span").evaluateAll((spans) =>
      spans
        .flatMap((span) => ["::before", "::after"].map((pseudo) => getComputedStyle(span, pseudo).content))
        .filter((content) => content.startsWith('"') && content !== '""')
        .map((content) => JSON.parse(content)),
    );
  }

  /** Press a button of the message that contains `words`. */
  async press(words, button) {
    const toast = this.page.locator(".notifications-toasts .notification-toast", { hasText: words });
    await toast.hover();
    await toast.getByRole("button", { name: button }).click();
  }
}

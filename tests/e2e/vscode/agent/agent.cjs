// An extension of the tests' own VS Code: evaluates what the driver sends, with VS Code's API at hand, so that one scenario can
// use the page and look at what an extension sees. A suite at extensionTestsPath could do so too, but in such a window every
// workspace is trusted, and the window says that it is one for development.

const net = require("node:net");
const vscode = require("vscode");

/** A file system without a disk, as extensions for repositories elsewhere have one: the folder memory:/project with one file. */
class Memory {
  #text = Buffer.from("class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.y = ___\n");
  #changed = new vscode.EventEmitter();
  onDidChangeFile = this.#changed.event;

  watch() {
    return { dispose() {} };
  }

  stat(uri) {
    if (!["/project", "/project/a.py"].includes(uri.path)) {
      throw vscode.FileSystemError.FileNotFound(uri);
    }
    const type = uri.path === "/project" ? vscode.FileType.Directory : vscode.FileType.File;
    return { type, ctime: 0, mtime: 0, size: this.#text.length };
  }

  readDirectory() {
    return [["a.py", vscode.FileType.File]];
  }

  readFile(uri) {
    this.stat(uri);
    return this.#text;
  }

  writeFile(uri, text) {
    this.stat(uri);
    this.#text = text;
    this.#changed.fire([{ type: vscode.FileChangeType.Changed, uri }]);
  }

  createDirectory(uri) {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  delete(uri) {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  rename(uri) {
    throw vscode.FileSystemError.NoPermissions(uri);
  }
}

exports.activate = (context) => {
  context.subscriptions.push(vscode.workspace.registerFileSystemProvider("memory", new Memory()));
  const uri = vscode.workspace.workspaceFolders?.[0]?.uri;
  const folder = uri?.scheme === "file" ? uri.fsPath : uri?.toString();
  const socket = net.connect(Number(process.env.LACUNA_TEST_PORT), "127.0.0.1");
  context.subscriptions.push({ dispose: () => socket.destroy() });
  const send = (message) => socket.write(`${JSON.stringify(message)}\n`);
  const evaluate = async ({ id, source, argument }) => {
    try {
      // The driver's functions arrive as text.
      const work = new Function("vscode", "require", `return (${source});`)(vscode, require);
      send({ id, value: (await work(vscode, argument)) ?? null });
    } catch (error) {
      send({ id, problem: String(error?.stack ?? error) });
    }
  };
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("connect", () => send({ folder }));
  socket.on("data", (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      evaluate(JSON.parse(line));
    }
  });
  socket.on("error", (error) => console.error(`the tests' agent: ${error.message}`));
};

// An extension of the tests' own VS Code: evaluates what the driver sends, with VS Code's API at hand, so that one scenario can
// use the page and look at what an extension sees. A suite at extensionTestsPath could do so too, but in such a window every
// workspace is trusted, and the window says that it is one for development.

const net = require("node:net");
const vscode = require("vscode");

exports.activate = (context) => {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
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

// No key of the extension is one that VS Code itself uses.
import assert from "node:assert/strict";

export default async function (stage) {
  const window = await stage.shared({ "keybindings_are_free/a.py": "x = ___\n" });
  const { ours, others } = await window.host(async (vscode) => {
    const page = await vscode.workspace.openTextDocument(vscode.Uri.parse("vscode://defaultsettings/keybindings.json"));
    // JSON, but for its comments.
    const all = JSON.parse(page.getText().replace(/^\s*\/\/.*$/gm, ""));
    return {
      ours: vscode.extensions.getExtension("lacuna.lacuna").packageJSON.contributes.keybindings.map(({ key }) => key),
      others: all.filter(({ command }) => !command.startsWith("lacuna.")),
    };
  });
  assert.ok(others.length > 500, `only ${others.length} keybindings of VS Code are known`);
  const clashes = others.filter(({ key }) => ours.some((each) => key === each || key.startsWith(`${each} `)));
  assert.deepEqual(clashes, []);
}

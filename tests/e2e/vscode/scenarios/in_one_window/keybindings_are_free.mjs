// No key of the extension is one that VS Code itself uses.
import assert from "node:assert/strict";

export default async function (stage) {
  const window = await stage.shared({ "keybindings_are_free/a.py": "x = ___\n" });
  const clashes = await window.host(async (vscode) => {
    const page = await vscode.workspace.openTextDocument(vscode.Uri.parse("vscode://defaultsettings/keybindings.json"));
    // JSON with comments, of which only those at the end list commands without a key.
    const all = JSON.parse(page.getText().replace(/^\s*\/\/.*$/gm, ""));
    const ours = vscode.extensions.getExtension("lacuna.lacuna").packageJSON.contributes.keybindings;
    const uses = (binding, key) => binding.key === key || binding.key.startsWith(`${key} `);
    return {
      known: all.length,
      clashes: ours.flatMap(({ key }) => all.filter((binding) => uses(binding, key) && !binding.command.startsWith("lacuna.")).map((binding) => binding.command)),
    };
  });
  assert.ok(clashes.known > 500, `only ${clashes.known} keybindings are known`);
  assert.deepEqual(clashes.clashes, []);
}

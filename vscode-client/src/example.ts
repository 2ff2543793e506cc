// A file to try Lacuna on, for those who have none at hand.
import { window, workspace } from "vscode";
import { settings } from "./settings";

const TEXT = `import json


class Basket:
    def __init__(self, owner):
        self.owner = ___
        self.items = ___

    def add(self, item):
        self.items.append(___)

    def total(self):
        return sum(item.price for item in ___)


def load(path):
    with open(path) as file:
        return ___
`;

/** Open it, unsaved. */
export async function openExample(): Promise<void> {
  const document = await workspace.openTextDocument({ language: "python", content: TEXT.replaceAll("___", settings.marker()) });
  await window.showTextDocument(document);
}

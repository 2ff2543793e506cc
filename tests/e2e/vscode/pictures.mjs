// Takes the pictures of the pages, in a real VS Code: `node pictures.mjs PYTHON FOLDER [PICTURE...]`. What the model writes in them is
// what it writes; file and seed are chosen such that it has something to say.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { until } from "./code.mjs";
import { holesOf } from "./code_text.mjs";
import { fills, Stage, statusOf, untilChoice, untilServing } from "./stage.mjs";

const [python, folder] = process.argv.slice(2, 4).map((each) => path.resolve(each));
const wanted = process.argv.slice(4);
const SIZE = { width: 1000, height: 640 };
const MOST_BYTES = { png: 150_000, gif: 1_500_000 };
const SETTINGS = {
  "breadcrumbs.enabled": false,
  "editor.lineHeight": 20,
  "remote.autoForwardPorts": false,
  "window.commandCenter": false,
  "workbench.activityBar.location": "hidden",
  "workbench.colorTheme": "Default Dark Modern",
  "workbench.editor.editorActionsLocation": "hidden",
  "workbench.layoutControl.enabled": false,
  "lacuna.seed": 3,
  "lacuna.alternatives": 10,
  "lacuna.temperature": 0.7,
};
const BASKET = `"""What a customer of the shop has in the basket."""

from __future__ import annotations


class Item:
    def __init__(self, name: str, price: float, count: int = 1) -> None:
        self.name = name
        self.price = price
        self.count = count

    def to_dict(self) -> dict[str, object]:
        return {"name": self.name, "price": self.price, "count": ___}


class Basket:
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.items: list[Item] = []

    def __len__(self) -> int:
        ___

    def add(self, item: Item) -> None:
        ___

    def find(self, name: str) -> Item | None:
        for item in self.items:
            if item.name == name:
                return item
        return None
`;
const WHOLE = ["self.count", "return len(self.items)", "self.items.append(item)"].reduce((text, part) => text.replace("___", part), BASKET);
// Two slips that read well.
const SLIPS = WHOLE.replace("self.count = count", "self.count = price").replace("append(item)", "append(name)");

const PICTURES = {
  async holes(stage) {
    const window = await open(stage, BASKET);
    await until("lenses", async () => (await window.page.locator(".codelens-decoration a").count()) === 4);
    await window.select([holesOf(BASKET)[1]]);
    await shoot(window, "holes");
  },

  async lightbulb(stage) {
    const window = await open(stage, BASKET, { "lacuna.codeLens": false });
    await window.select([holesOf(BASKET)[1]]);
    await window.command("editor.action.quickFix");
    await window.page.locator(".action-widget .monaco-list-row").first().waitFor();
    await shoot(window, "lightbulb");
  },

  async picker(stage) {
    const window = await open(stage, BASKET, { "lacuna.codeLens": false });
    await window.select(holesOf(BASKET));
    await window.begin("lacuna.fill");
    await untilChoice(window);
    await shoot(window, "picker");
  },

  async hover(stage) {
    const window = await open(stage, SLIPS);
    await window.select([placeOf(SLIPS, "append(name)", "append(".length)]);
    await window.command("editor.action.showHover");
    await window.page.locator(".monaco-hover", { hasText: "bits per token" }).waitFor();
    await shoot(window, "hover");
  },

  async surprise(stage) {
    const window = await open(stage, SLIPS);
    await window.select([[19, 0]]);
    await window.command("lacuna.toggleSurpriseMap");
    await untilMapRests(window);
    await shoot(window, "surprise-dark");
    await window.host((vscode) => vscode.workspace.getConfiguration().update("workbench.colorTheme", "Default Light Modern", true));
    await window.page.locator(".monaco-workbench.vs").waitFor();
    await shoot(window, "surprise-light");
  },

  async inline(stage) {
    const text = WHOLE.slice(0, WHOLE.indexOf("self.items.append"));
    const window = await open(stage, text);
    await window.select([placeOf(text, text, text.length)]);
    await window.command("lacuna.triggerInline");
    await window.page.locator(".ghost-text-decoration").first().waitFor();
    await shoot(window, "inline");
  },

  async menu(stage) {
    const window = await open(stage, BASKET);
    await window.page.locator('.statusbar-item[id="lacuna.lacuna.lacuna.status"]').click();
    await until("menu", async () => (await window.page.locator(".quick-input-widget .monaco-list-row").count()) >= 8);
    await shoot(window, "menu");
  },

  async walkthrough(stage) {
    const window = await open(stage, BASKET, {}, { width: 1250, height: 800 });
    await window.command("workbench.action.openWalkthrough", "lacuna.lacuna#start", false);
    await window.page.locator(".getting-started-step.expanded").waitFor();
    await window.page.locator(".getting-started-step", { hasText: "Fill all holes together" }).click();
    await shoot(window, "walkthrough");
  },

  async animation(stage) {
    const empty = BASKET.replaceAll("___", "");
    const window = await open(stage, empty, { "lacuna.codeLens": false });
    const places = holesOf(BASKET);
    const frames = [];
    const frame = async (seconds) => {
      const file = path.join(stage.home, `frame-${String(frames.length).padStart(2, "0")}.png`);
      await still(window, file);
      frames.push("-delay", `${Math.round(seconds * 100)}`, file);
    };
    await window.select([places[0]]);
    await frame(0.8);
    await window.select(places.slice(0, 2));
    await frame(0.5);
    await window.select(places);
    await frame(1);
    await window.command("lacuna.insertHole");
    await until("marks of the holes", async () => (await window.page.locator(".glyph-margin-widgets .cgmr").count()) === 3);
    await frame(1.5);
    await window.begin("lacuna.fill");
    const { alternatives } = await untilChoice(window);
    await frame(2.2);
    for (let index = 1; index < Math.min(alternatives.length, 4); index++) {
      await window.page.keyboard.press("ArrowDown");
      await until("next alternative", async () => (await fills(window)).shown === index);
      await frame(1.3);
    }
    for (let index = Math.min(alternatives.length, 4) - 2; index >= 0; index--) {
      await window.page.keyboard.press("ArrowUp");
      await until("alternative before", async () => (await fills(window)).shown === index);
    }
    await frame(1.5);
    await window.page.keyboard.press("Enter");
    await until("filled text", async () => !(await window.text()).includes("___"));
    await frame(3);
    const file = path.join(folder, "three-holes.gif");
    convert(["-loop", "0", ...frames, "-layers", "optimize", file], file);
  },
};

async function open(stage, text, settings = {}, size = SIZE) {
  const window = await stage.open("shop", { "basket.py": text }, { ...SETTINGS, ...settings }, size);
  await window.show("basket.py");
  await window.command("workbench.action.closeSidebar");
  await untilServing(window);
  await until("model", async () => (await statusOf(window))?.state === "ready");
  return window;
}

function untilMapRests(window) {
  return until("painted map", async () => {
    const before = await window.page.locator(".view-overlays .cdr").count();
    await new Promise((resolve) => setTimeout(resolve, 500));
    return before > 10 && before === (await window.page.locator(".view-overlays .cdr").count());
  });
}

/** [line, character] of a place so many characters behind the start of `words`. */
function placeOf(text, words, behind) {
  const lines = text.slice(0, text.indexOf(words) + behind).split("\n");
  return [lines.length - 1, lines.at(-1).length];
}

/** A picture of the page once nothing on it changes. */
async function still(window, file) {
  // Where nothing is that would light up.
  await window.page.mouse.move(SIZE.width - 40, SIZE.height - 120);
  let before;
  await until("page at rest", async () => {
    const now = await window.page.screenshot();
    const rests = before?.equals(now);
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 150));
    return rests;
  });
  fs.writeFileSync(file, before);
}

async function shoot(window, name) {
  const raw = path.join(window.folder, "..", `${name}.png`);
  const file = path.join(folder, `${name}.png`);
  await still(window, raw);
  const small = ["-strip", "-dither", "None", "-colors", "255", "-define", "png:compression-level=9"];
  convert([raw, "-resize", `${SIZE.width}x${SIZE.height}`, ...small, `PNG8:${file}`], file);
}

/** Run ImageMagick, and see that the picture isn't too large for a page. */
function convert(args, file) {
  const done = spawnSync("convert", args, { encoding: "utf8", timeout: 120_000 });
  if (done.status !== 0) {
    throw new Error(`ImageMagick (convert) failed: ${done.error?.message ?? done.stderr}`);
  }
  const { size } = fs.statSync(file);
  console.log(`${path.relative(process.cwd(), file)}: ${Math.ceil(size / 1000)} kB`);
  if (size > MOST_BYTES[path.extname(file).slice(1)]) {
    throw new Error(`${file} is too large`);
  }
}

const stage = new Stage(fs.mkdtempSync(path.join(os.tmpdir(), "lacuna-pictures-")), python);
try {
  await stage.raise();
  for (const take of Object.values(PICTURES).filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    await take(stage);
    await stage.closeWindows({ all: true });
  }
} finally {
  await stage.strike();
  fs.rmSync(stage.home, { recursive: true, force: true });
}
process.exit();

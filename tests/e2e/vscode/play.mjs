// Plays scenarios in one VS Code: `node play.mjs HOME KEPT PYTHON`. It reads scenarios (their files in the folder scenarios, less the
// suffix) from stdin, one a line, and answers each with a line of JSON: {"scenario", "problem"?, "skipped"?, "seconds"}, where `skipped`
// says what this machine lacks. The first answer, to no scenario, says whether VS Code is there. Of a scenario that failed, pictures of
// the windows and their logs are kept in the folder KEPT.

import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { Skipped } from "./setup.mjs";
import { Stage } from "./stage.mjs";

const [home, kept, python] = process.argv.slice(2);
const MOST_MS = 150_000;
let stage;

async function within(work, milliseconds) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not over after ${milliseconds / 1000} s`)), milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function keep(stage, scenario) {
  fs.mkdirSync(kept, { recursive: true });
  for (const [name, window] of stage.windows) {
    const file = path.join(kept, `${scenario.replaceAll("/", "-")}-${name}`);
    await window.page.screenshot({ path: `${file}.png`, timeout: 10_000 }).catch(() => {});
    fs.writeFileSync(`${file}.log`, window.log.join("\n"));
  }
}

async function play(stage, scenario) {
  const began = performance.now();
  const answer = { scenario };
  try {
    const { default: act } = await import(`./scenarios/${scenario}.mjs`);
    await within(act(stage), MOST_MS);
  } catch (error) {
    if (error instanceof Skipped) {
      answer.skipped = error.message;
    } else {
      answer.problem = error.stack ?? String(error);
      await keep(stage, scenario);
    }
  }
  try {
    await within(stage.closeWindows({ all: answer.problem !== undefined }), 20_000);
  } catch (error) {
    answer.problem ??= `the windows did not close: ${error.message}`;
  }
  answer.seconds = (performance.now() - began) / 1000;
  return answer;
}

process.on("SIGTERM", () => within(stage?.strike(), 10_000).finally(() => process.exit(1)));

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
try {
  stage = new Stage(home, python);
  await within(stage.raise(), 8 * 60_000);
  say({});
  for await (const scenario of readline.createInterface({ input: process.stdin })) {
    say(await play(stage, scenario));
  }
} catch (error) {
  say(error instanceof Skipped ? { skipped: error.message } : { problem: error.stack ?? String(error) });
} finally {
  await within(stage?.strike(), 20_000).catch(() => {});
  process.exit();
}

// What the scripts have in common: a browser whose pages must not complain and must not ask any other host, and a line
// to the world around it.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

export const address = process.env.ADDRESS;
export const shots = process.env.SHOTS;
/** What has to happen has happened after this long, on a busy machine too. */
export const LONG = 20_000;

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has something done outside the browser, and gives the answer. */
export async function world(wish) {
  process.stdout.write(`world: ${wish}\n`);
  const { value, done } = await answers.next();
  assert(!done, `nobody answered ${wish}`);
  return value;
}

/** Looks again and again until there is something to be seen. */
export async function until(what, look, limit = LONG) {
  const end = performance.now() + limit;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    assert(performance.now() < end, `not within ${limit} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

let expected = null;
/** What pages may complain of, where something is to go wrong. */
export function expects(pattern) {
  expected = pattern;
}

/** Runs a script with a browser, and ends both. What pages complained of fails it. */
export async function play(script) {
  // Nothing is asked of a name server either: whatever the browser itself wants to know stays unknown.
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--autoplay-policy=no-user-gesture-required", "--mute-audio"],
  });
  const complaints = [];
  const wrong = { push: (complaint) => expected?.test(complaint) || complaints.push(complaint) };
  const open = async (options = {}) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    context.setDefaultTimeout(LONG);
    context.on("page", (page) => {
      page.on("console", (said) => {
        if (said.type() === "error" || said.type() === "warning") wrong.push(`${page.url()}: ${said.type()}: ${said.text()}`);
      });
      page.on("pageerror", (error) => wrong.push(`${page.url()}: ${error.stack ?? error}`));
      page.on("request", (request) => {
        const { origin, protocol } = new URL(request.url());
        if (origin !== address && protocol !== "blob:" && protocol !== "data:") wrong.push(`${page.url()} asked for ${request.url()}`);
      });
      page.on("response", (answer) => {
        if (answer.status() >= 400) wrong.push(`${page.url()}: ${answer.url()} was answered with ${answer.status()}`);
      });
    });
    return context.newPage();
  };
  try {
    await script(open);
    assert.deepEqual(complaints, []);
  } catch (error) {
    console.error(error.stack ?? error);
    if (complaints.length > 0) console.error("what pages complained of:", complaints);
    process.exitCode = 1;
  } finally {
    await browser.close();
    process.stdin.destroy();
  }
}

/** How far the picture of a page is: seconds, and pictures that were decoded and shown. */
export function picture(page) {
  return page.locator("video").evaluate((video) => {
    const quality = video.getVideoPlaybackQuality();
    return {
      at: video.currentTime,
      frames: quality.totalVideoFrames - quality.droppedVideoFrames,
      width: video.videoWidth,
      wrong: video.error && `${video.error.code}: ${video.error.message}`,
    };
  });
}

/** Waits until the picture has gone on for so many seconds, which must all have been shown. */
export async function advances(page, seconds, what) {
  const before = await picture(page);
  return until(what, async () => {
    const now = await picture(page);
    assert.equal(now.wrong, null, what);
    return now.at >= before.at + seconds && now.frames > before.frames + seconds * 5 && now;
  });
}

const began = performance.now();
/** Says how far the script is. */
export function reached(what) {
  console.log(`${((performance.now() - began) / 1000).toFixed(1)} s: ${what}`);
}

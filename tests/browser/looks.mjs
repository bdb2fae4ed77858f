// Every page, as a phone and a desktop show it in both lights: axe-core finds nothing serious, nothing is wider than the
// screen, and a picture of each is left for people to look at.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { address, play, reached, shots, until, world } from "./stage.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };
const LIGHTS = ["light", "dark"];
/** A page, what it is called, and what is opened on it before it is looked at. */
const PAGES = [
  ["now", "/ui/", ".row details"],
  ["channel", "/ui/channels/1", "details.more"],
  ["idle", "/ui/channels/2", null],
  ["channels", "/ui/channels", "td.acts details"],
  ["add", "/ui/add?q=entry", "form.add details"],
  ["add-empty", "/ui/add", null],
  ["playlists", "/ui/playlists", null],
  ["history", "/ui/history", null],
  ["system", "/ui/system", null],
];

/** What axe-core finds wrong, in a line each. */
async function faults(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)}: ${node.failureSummary.replaceAll(/\s+/g, " ")}`));
}

await play(async (open) => {
  // Something has happened: a source failed, and another one is shown.
  await world("watch /auto/v100");
  await world("hush 1");
  const told = await open();
  await told.goto(`${address}/ui/`);
  await until("the second source is shown", async () => /source 2 of 2/.test(await told.locator("main").innerText()));
  await told.context().close();

  const wrong = [];
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of LIGHTS) {
      const isPhone = size === "phone";
      const page = await open({ viewport, colorScheme, hasTouch: isPhone, isMobile: isPhone, deviceScaleFactor: isPhone ? 2 : 1 });
      for (const [name, path, opened] of PAGES) {
        await page.goto(address + path);
        if (name === "now") await page.locator("#live", { hasText: /^live$/ }).waitFor();
        if (opened) {
          const details = page.locator(opened).first();
          await details.locator("summary").first().click();
          await until(`${name} opens`, () => details.evaluate((element) => element.open));
        }
        const here = `${name}, ${size}, ${colorScheme}`;
        wrong.push(...(await faults(page)).map((fault) => `${here}: ${fault}`));
        // Behind that: a player that has just been made turns its wheel for a moment.
        await page.screenshot({ path: join(shots, `${name}-${size}-${colorScheme}.png`), fullPage: true });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 0) wrong.push(`${here}: it is ${wide} pixels wider than the screen`);
      }
      reached(`all pages, ${size}, ${colorScheme}`);
      await page.context().close();
    }
  }
  assert.deepEqual(wrong, []);
  await world("leave");
});

// The pages beside "Now" follow what happens while somebody is in the middle of something on each of them.
import assert from "node:assert/strict";
import { address, play, reached, until, world } from "./stage.mjs";

/** What is there one second after it has happened is there soon enough; a busy machine takes its time. */
const SOON = 5_000;

/** Opens a page that is live, and would know if it were loaded again. */
async function live(open, path, viewport) {
  const page = await open({ viewport });
  await page.goto(address + path);
  await page.locator("#live", { hasText: /^live$/ }).waitFor();
  await page.evaluate(() => { globalThis.isStillHere = true; });
  return page;
}

const shows = (page, what, pattern) =>
  until(what, async () => pattern.test(await page.locator("main").innerText()), SOON);

/** Where something is on the screen, and whether it has the focus. */
const stands = (locator) =>
  locator.evaluate((element) => ({
    top: Math.round(element.getBoundingClientRect().top),
    focused: document.activeElement === element,
    scrolled: Math.round(scrollY),
    value: element.value ?? null,
  }));

await play(async (open) => {
  const small = { width: 1000, height: 420 };
  const channel = await live(open, "/ui/channels/1", small);
  const playlists = await live(open, "/ui/playlists", small);
  const history = await live(open, "/ui/history", small);
  const system = await live(open, "/ui/system", small);

  reached("Somebody is in the middle of something on each page");
  const name = playlists.getByLabel("Name", { exact: true });
  await name.pressSequentially("Half a na");
  const asked = history.getByLabel("Channel");
  await asked.pressSequentially("10");
  const row = channel.locator("#s-1");
  await row.locator("summary").click();
  const removes = row.getByRole("button", { name: /^Remove source 1/ });
  await removes.focus();
  await removes.evaluate((element) => element.scrollIntoView({ block: "center" }));
  const log = system.locator("#p-log pre");
  await log.scrollIntoViewIfNeeded();
  await log.focus();
  const all = [name, asked, removes, log];
  const before = await Promise.all(all.map(stands));
  assert(before.every(({ focused }) => focused), JSON.stringify(before));
  assert(before[2].scrolled > 0 && before[3].scrolled > 0, "both are scrolled");

  reached("A viewer comes: every page says so");
  await world("watch /auto/v100");
  await shows(channel, "the channel plays", /● playing[^]*to 1 viewer\b/);
  await shows(channel, "its source is shown", /● shown now/);
  await shows(playlists, "its connection is in use", /1 of \d+ in use/);
  await shows(history, "a session goes on", /● goes on/);
  await shows(system, "a core has a viewer", /\d\t1\t1\t/);
  await channel.locator("#p-timeline svg rect.shown").waitFor({ state: "attached" });
  const after = await Promise.all(all.map(stands));
  // What grows above must not move what somebody looks at; the rows of a table may be a pixel higher than before.
  for (const [index, { top, focused, value }] of after.entries()) {
    assert(focused, `page ${index} has lost the focus`);
    assert.equal(value, before[index].value, `page ${index}`);
    assert(Math.abs(top - before[index].top) <= 2, `page ${index} has jumped: ${before[index].top} ${top}`);
  }
  assert(await row.locator("details").evaluate((details) => details.open), "what was opened is closed again");

  reached("A recovery by hand says nothing against the source that was left");
  await channel.getByRole("button", { name: /^Recover now/ }).click();
  await channel.locator("#notice", { hasText: /^Done\.$/ }).waitFor();
  await channel.locator("svg[role=img] title", { hasText: "somebody wanted it" }).first().waitFor({ state: "attached" });
  await history.locator("li", { hasText: "because the one before was left because somebody wanted it" }).first().waitFor({ state: "attached" });
  assert.doesNotMatch(await channel.locator("main").innerText(), /Why is this channel bad/);
  await channel.locator("#s-2", { hasText: "● shown now" }).waitFor();

  reached("A source that is removed is called as it was known, and the page stays");
  await removes.click();
  await channel.locator("#s-1").waitFor({ state: "detached" });
  const gone = /^[^0-9()]*[^()]*\([^()]*gone\)/;
  await until("its past has its name", async () => {
    const titles = await channel.locator("svg[role=img] title").allTextContents();
    return titles.some((title) => gone.test(title)) && !titles.some((title) => /number \d/.test(title));
  }, SOON);
  const now = await live(open, "/ui/", small);
  const titles = await now.locator("svg[role=img] title").allTextContents();
  assert(titles.some((title) => gone.test(title)), titles.join("\n"));

  reached("The viewer leaves");
  await world("leave");
  await shows(channel, "nobody watches", /○ idle/);
  await shows(history, "the session is over", /○ nobody watched any more/);
  for (const page of [channel, playlists, history, system]) {
    assert(await page.evaluate(() => globalThis.isStillHere), `${page.url()} was loaded again`);
    assert.equal(await page.locator("#live").innerText(), "live");
  }
  assert.equal(await name.inputValue(), "Half a na");
  assert.equal(await asked.inputValue(), "10");
});

// Somebody wants to watch in the page what cannot be watched: the page says why, and tries again when it is told to.
import assert from "node:assert/strict";
import { join } from "node:path";
import { address, advances, expects, play, reached, shots, until, world } from "./stage.mjs";

// What the server refuses is in the browser's console too.
expects(/503|410|ERR_FAILED/);

await play(async (open) => {
  const page = await open();
  const says = page.locator("#says");
  const again = says.getByRole("button", { name: "Try again" });
  const video = page.locator("video");

  reached("The only tuner is in use");
  await world("watch /auto/v101");
  await page.goto(`${address}/ui/channels/1`);
  await video.press("Space");
  await says.getByText("It could not be started. All tuners are in use for other channels.").waitFor();
  await says.getByText("The server answered: status 503, 805 All Tuners In Use, no_tuners. It may work in 5 s.").waitFor();
  assert.equal(await says.getAttribute("role"), "status");
  await page.screenshot({ path: join(shots, "refused-desktop-light.png") });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: join(shots, "refused-phone-dark.png") });
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: "light" });

  reached("It is free again");
  await world("leave");
  await until("the tuner is free", async () => {
    const { in_use_count: used } = await (await page.request.get(`${address}/api/admin/tuners`)).json();
    return used === 0;
  });
  await again.click();
  await advances(page, 1, "the picture plays");
  assert.equal(await says.innerText(), "");

  reached("The page is one viewer, and is sent away");
  const told = await open();
  await told.goto(`${address}/ui/channels/1`);
  assert.match(await told.locator("main").innerText(), /to 1 viewer\b/);
  await told.locator("summary", { hasText: "Disconnect…" }).click();
  await told.getByRole("button", { name: "Disconnect 127.0.0.1" }).click();
  await says.getByText("The picture has stopped. Somebody has disconnected this player.").waitFor({ timeout: 60_000 });
  await says.getByText("The server answered: status 410, sent_away.").waitFor();
  await again.waitFor();

  reached("The browser plays no such streams, or the server does not answer");
  const givesUp = (page) =>
    page.locator("video").evaluate((video) => ["play", "error"].forEach((event) => video.dispatchEvent(new Event(event))));
  const other = await open();
  await other.addInitScript(() => {
    HTMLMediaElement.prototype.canPlayType = () => "";
  });
  const asked = [];
  other.on("request", (request) => asked.push(request.url()));
  await other.goto(`${address}/ui/channels/1`);
  await givesUp(other);
  await other.getByText("This browser plays no HTTP Live Streaming").waitFor();
  assert(!asked.some((url) => url.includes("/hls/")), "nobody is asked for what would not be played");
  const alone = await open();
  await alone.goto(`${address}/ui/channels/1`);
  await alone.route("**/hls/**", (route) => route.abort());
  await givesUp(alone);
  await alone.getByText("It could not be started. The server does not answer.").waitFor();

  reached("No source works");
  await page.goto(`${address}/ui/channels/3`);
  await video.press("Space");
  await says.getByText("It could not be started. None of its sources could be started.").waitFor();
  await says.getByText("806 Tune Failed").waitFor();
  await says.getByRole("link", { name: "Show what each source has answered" }).click();
  await page.getByText(/failed .* ago: .*404/).first().waitFor();
});

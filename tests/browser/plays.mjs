// A channel's own page plays its picture for a while, and says what it has shown.
import { address, advances, picture, play, until } from "./stage.mjs";

const seconds = Number(process.env.SECONDS);

await play(async (open) => {
  const page = await open();
  await page.goto(`${address}/ui/channels/${process.env.CHANNEL}`);
  await page.locator("video").press("Space");
  const first = await advances(page, 0.5, "the picture plays");
  await page.locator("video").evaluate((video) => {
    video.dataset.waits = "0";
    video.addEventListener("waiting", () => (video.dataset.waits = String(Number(video.dataset.waits) + 1)));
  });
  const end = performance.now() + seconds * 1000;
  await until("time passes", () => performance.now() >= end, seconds * 1000 + 20_000);
  const last = await picture(page);
  const waits = Number(await page.locator("video").getAttribute("data-waits"));
  console.log(JSON.stringify({ seconds: last.at - first.at, pictures: last.frames - first.frames, waits, wrong: last.wrong }));
});

// A channel's own page plays its picture for a while, and says what it has shown.
import { address, advances, picture, play, until } from "./stage.mjs";

const seconds = Number(process.env.SECONDS);

await play(async (open) => {
  const page = await open();
  await page.goto(`${address}/ui/channels/${process.env.CHANNEL}`);
  await page.locator("video").press("Space");
  const first = await advances(page, 0.5, "the picture plays");
  const end = performance.now() + seconds * 1000;
  await until("time passes", () => performance.now() >= end, seconds * 1000 + 20_000);
  const last = await picture(page);
  console.log(JSON.stringify({ seconds: last.at - first.at, pictures: last.frames - first.frames, wrong: last.wrong }));
});

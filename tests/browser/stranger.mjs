// From an empty database to a picture, by what the pages show and nothing else.
import assert from "node:assert/strict";
import { address, advances, picture, play, until, world } from "./stage.mjs";

await play(async (open) => {
  const page = await open();
  let actions = 0;
  const does = async (act) => {
    actions += 1;
    await act;
  };

  await does(page.goto(`${address}/`));
  assert.equal(new URL(page.url()).pathname, "/ui/");
  await page.getByRole("heading", { name: "There is no channel yet." }).waitFor();
  await does(page.getByRole("link", { name: "Add a playlist" }).click());
  await does(page.getByLabel("Name").fill("Provider"));
  await does(page.getByLabel("Address").fill(await world("list")));
  await does(page.getByRole("button", { name: "Add, and read it now" }).click());
  await until("the playlist is read", async () => {
    await page.reload();
    return (await page.locator("td[data-unit=entries]").innerText()) === "2";
  });
  actions += 1;
  await does(page.getByRole("link", { name: "Add", exact: true }).click());
  await does(page.getByLabel("Search in all playlists").fill("news one"));
  await does(page.keyboard.press("Enter"));
  await does(page.getByRole("button", { name: "Add as 100" }).click());
  await page.getByRole("heading", { name: "100 News One" }).waitFor();
  await does(page.locator("video").press("Space"));
  const seen = await advances(page, 3, "the picture plays");
  assert.equal(seen.width, 320);
  assert(actions < 20, `it took ${actions} actions`);
  assert(!(await page.content()).includes("hunter2"), "an address is shown with its credentials");
  console.log(`from nothing to a picture in ${actions} actions`, await picture(page));
});

// Two people look: one at the page "Now", one at the picture of a channel. Then its sources fail.
import assert from "node:assert/strict";
import { join } from "node:path";
import { address, advances, picture, play, reached, shots, until, world } from "./stage.mjs";

/** What the page "Now" has one second after it has happened is there soon enough. */
const SOON = 2_000;

/** Whether the picture is the slate: the programmes are of bright colours, the slate is of one. */
function isSlate(page) {
  return page.locator("video").evaluate((video) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [32, 18];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, 32, 18);
    const { data } = context.getImageData(0, 0, 32, 18);
    let bright = 0;
    for (let at = 0; at < data.length; at += 4) {
      const colour = [data[at], data[at + 1], data[at + 2]];
      if (Math.max(...colour) - Math.min(...colour) > 80) bright += 1;
    }
    return bright < 32;
  });
}

await play(async (open) => {
  const now = await open();
  await now.goto(`${address}/ui/`);
  await now.locator("#live", { hasText: /^live$/ }).waitFor();
  const channel = now.locator(".row").filter({ hasText: "100" });

  reached("A viewer comes and goes");
  await world("watch /auto/v100");
  await until("the viewer is shown", async () => /1 viewer\b/.test(await now.locator("h1").innerText()), SOON);
  await world("leave");
  await until("nobody is shown any more", async () => (await now.locator("h1").innerText()) === "All quiet.", SOON);

  reached("One watches in the page, another with a player");
  const watching = await open();
  await watching.goto(`${address}/ui/channels/1`);
  await watching.locator("video").press("Space");
  await advances(watching, 1, "the picture plays");
  assert(!(await isSlate(watching)), "the programme is shown");
  await world("watch /auto/v100");
  await until("both are shown", async () => /playing to 2 viewers/.test(await now.locator("h1").innerText()));
  assert.match(await channel.innerText(), /source 1 of 2/);
  await channel.locator("summary").first().click();

  reached("Both sources fall silent: the slate is shown, and the page says so");
  await world("hush 1");
  await world("hush 2");
  await now.locator("#p-attention", { hasText: "viewers see the slate" }).waitFor();
  assert.match(await now.locator("h1").innerText(), /1 needs attention/);
  await until("the slate has been sent for two seconds", async () => {
    const said = /viewers see the slate since ([\d.]+) s/.exec(await channel.innerText());
    return said && Number(said[1]) >= 2;
  });
  const before = await picture(watching);

  reached("The second source is there again");
  await world("speak 2");
  await until("the slate is shown in the page", () => isSlate(watching));
  await advances(watching, 1, "the slate moves");
  await until("the second source is shown", async () => /source 2 of 2/.test(await channel.innerText()));
  await until("the programme is shown again", async () => !(await isSlate(watching)));
  const after = await advances(watching, 1, "the picture goes on");
  assert(after.at > before.at + 3 && after.frames > before.frames + 30, "it went on all the time");
  await channel.locator("svg[role=img] title", { hasText: "because the one before sent nothing that moves the picture" }).first().waitFor({ state: "attached" });
  await channel.locator(".bands rect.slate").waitFor({ state: "attached" });
  assert.match(await channel.innerText(), /Why is this channel bad\?/);

  reached("Recover now: the first source, and nobody is sent away");
  await world("speak 1");
  await channel.getByRole("button", { name: /^Recover now \(2 viewers see the slate/ }).click();
  await now.locator("#notice[role=status]", { hasText: /^Done\.$/ }).waitFor();
  await now.screenshot({ path: join(shots, "done-desktop-light.png") });
  await channel.locator("svg[role=img] title", { hasText: "somebody wanted it" }).first().waitFor({ state: "attached" });
  await until("the notice is no longer news", async () => (await now.locator("#notice").innerText()) === "");
  assert.equal(await now.locator("#live").innerText(), "live");
  await until("both still watch", async () => /playing to 2 viewers\.$/.test(await now.locator("h1").innerText()));

  reached("Disconnect: the player, and nobody else. It asks once");
  const player = channel.locator("tbody tr").filter({ hasNotText: "HLS" });
  await player.locator("summary").click();
  await player.getByRole("button", { name: "Disconnect 127.0.0.1" }).click();
  await world("ends");
  await until("one is left", async () => /playing to 1 viewer\.$/.test(await now.locator("h1").innerText()));
  await advances(watching, 2, "the other one goes on watching");

  reached("The channel's own page tells all of it");
  const told = await open();
  await told.goto(`${address}/ui/channels/1`);
  const titles = await told.locator(".bands rect title").allTextContents();
  assert(titles.some((title) => title.includes("sent nothing that moves the picture")), titles.join("\n"));
  assert(titles.some((title) => title.includes("somebody wanted it")), titles.join("\n"));
  assert.equal(await told.locator(".bands rect.slate").count(), 1);
});

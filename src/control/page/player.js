// Says why the picture of a channel does not start, or why it has stopped, and begins it again.
const video = document.querySelector("video");
const says = document.querySelector("#says");

// A picture that does not go on for so long is asked after, and a channel that is still being opened is asked for so often.
const STANDS_STILL_MS = 10_000;
const OPENINGS_MAX = 5;

// Each reason that the server has for refusing a stream (X-Tunerd-Reason), and what can be done.
const REASONS = {
  channel_not_found: "There is no channel of this number any more, or it has been switched off.",
  channel_tune_backoff: "Its sources failed too often a moment ago, so it is left alone for a while.",
  no_tuners: "All tuners are in use for other channels. It can be watched when one of them is free; TUNER_COUNT says how many there are.",
  max_subscribers: "As many watch it as may: SESSION_MAX_SUBSCRIBERS.",
  viewer_limit: "The server has as many viewers as it may: VIEWERS_MAX.",
  address_limit: "This address has as many streams as it may: STREAM_MAX_PER_ADDRESS.",
  not_allowed: "Whoever opens this page may not watch: STREAM_ALLOW and STREAM_TOKEN say who may.",
  no_sources: "None of its sources is on. Switch one on below, or add one.",
  other: "None of its sources could be started.",
  no_video: "A source answered, but no picture came from it in time.",
  source_loop: "Its source leads back to this very server. It needs another one.",
  request_loop: "The request went out from this very server and has come back to it.",
  ring_memory: "There is no memory for one more channel: RING_MEMORY_BYTES bounds that of all together.",
  saturated: "The server has no time left for one more viewer.",
  no_segment: "It is being opened, but nothing has come from its source yet.",
  sent_away: "Somebody has disconnected this player. It may come back after a minute.",
  draining: "The server is about to stop.",
};
// Those of which the page tells more when it is loaded anew.
const TOLD_BELOW = ["channel_tune_backoff", "other", "no_video"];

// This page is one viewer, whoever of its parts asks.
const name = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const address = new URL(video.src);
address.searchParams.set("session", name);
const canPlay = video.canPlayType("application/vnd.apple.mpegurl") !== "";

let answer = null;
let isShown = false;
let openings = 0;
let timer = null;

/** What the server says to a request for the stream. It is not asked for what would not be played. */
async function ask() {
  if (!canPlay) return { ok: true, status: 200 };
  try {
    const { ok, status, headers } = await fetch(address, { cache: "no-store" });
    const [number, reason, wait] = ["X-HDHomeRun-Error", "X-Tunerd-Reason", "Retry-After"].map((header) => headers.get(header));
    return { ok, status, number, reason, wait: Number(wait) };
  } catch {
    return { ok: false, status: 0 };
  }
}

function tell(...lines) {
  clearTimeout(timer);
  says.replaceChildren(...lines);
}

function line(kind, text) {
  const paragraph = document.createElement("p");
  paragraph.className = kind;
  paragraph.textContent = text;
  return paragraph;
}

/** Opens the stream; what the server says to that is known when the player gives up. */
function open() {
  isShown = false;
  openings += 1;
  answer = ask();
  tell(line("quiet", "◐ Waiting for a picture."));
}

function again() {
  video.load();
  video.play().catch(() => {});
}

/** Why there is no picture, in words. */
function reason({ ok, status, reason }) {
  if (status === 0) return "The server does not answer.";
  if (!ok) return REASONS[reason] ?? "The server refused it.";
  if (!canPlay) return "This browser plays no HTTP Live Streaming; a player does, by the links below.";
  if (isShown) return "The server still has the channel.";
  return `The server sends it, but this browser cannot play it${video.error?.message ? ` (${video.error.message})` : ""}; a player may, by the links below.`;
}

/** The player has given up, or the picture stands still: says so, and why. */
async function stopped(said) {
  const given = await said;
  if (given.reason === "no_segment" && openings < OPENINGS_MAX) {
    timer = setTimeout(again, given.wait * 1000);
    return;
  }
  video.pause();
  const lines = [line("bad", `■ ${isShown ? "The picture has stopped." : "It could not be started."} ${reason(given)}`)];
  if (given.status > 0 && !given.ok) {
    const words = [`status ${given.status}`, given.number, given.reason].filter(Boolean).join(", ");
    const soon = given.wait > 0 ? ` It may work in ${given.wait} s.` : "";
    lines.push(line("quiet", `The server answered: ${words}.${soon}`));
  }
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Try again";
  button.addEventListener("click", () => {
    openings = 0;
    again();
  });
  const acts = document.createElement("p");
  acts.append(button);
  if (TOLD_BELOW.includes(given.reason)) {
    const link = document.createElement("a");
    link.href = "";
    link.textContent = "Show what each source has answered";
    acts.append(" ", link);
  }
  tell(...lines, acts);
}

/** Looks after a picture that stands still: where the server goes on sending, it is waited for. */
async function watch() {
  const at = video.currentTime;
  const given = await ask();
  if (video.paused || video.error || video.currentTime > at) return;
  if (given.ok) timer = setTimeout(watch, STANDS_STILL_MS);
  else await stopped(given);
}

video.addEventListener("play", () => {
  if (video.readyState === HTMLMediaElement.HAVE_NOTHING) open();
});
video.addEventListener("playing", () => {
  [isShown, openings] = [true, 0];
  tell();
});
video.addEventListener("waiting", () => {
  clearTimeout(timer);
  if (isShown) timer = setTimeout(watch, STANDS_STILL_MS);
});
video.addEventListener("error", () => stopped(isShown ? ask() : answer ?? ask()));
video.addEventListener("ended", () => stopped(ask()));
if (video.paused) video.src = address;

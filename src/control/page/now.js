// Puts the parts of the page that have changed into their places, as the server sends them.
const main = document.querySelector("main");
const live = document.querySelector("#live");
const notice = document.querySelector("#notice");
let events = null;

function place(piece) {
  const id = "p-" + piece.name;
  let section = document.getElementById(id);
  if (!section) {
    section = document.createElement("section");
    section.id = id;
    section.className = piece.name.startsWith("channel-") ? "row" : "";
    main.append(section);
  }
  // What is open stays open, and who has the focus keeps it.
  const open = new Set([...section.querySelectorAll("details[open]")].map((one) => one.dataset.open));
  const focus = [...section.querySelectorAll("summary, button")].indexOf(document.activeElement);
  section.innerHTML = piece.html;
  for (const one of section.querySelectorAll("details")) one.open = open.has(one.dataset.open);
  if (focus >= 0) section.querySelectorAll("summary, button")[focus]?.focus();
}

function show(news) {
  news.pieces.forEach(place);
  const known = new Set(news.order.map((name) => "p-" + name));
  for (const section of [...main.querySelectorAll(":scope > section")]) if (!known.has(section.id)) section.remove();
  let before = null;
  for (const name of news.order) {
    const section = document.getElementById("p-" + name);
    const wanted = before ? before.nextElementSibling : main.firstElementChild;
    if (section && section !== wanted) main.insertBefore(section, wanted);
    before = section ?? before;
  }
}

function listen() {
  if (document.hidden || events) return;
  events = new EventSource("/api/admin/events");
  events.onopen = () => { live.textContent = "live"; };
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.onerror = () => {
    live.textContent = "not live: the server does not answer, or has too many pages open; reload to try again";
    if (events.readyState === EventSource.CLOSED) events = null;
  };
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { events?.close(); events = null; } else listen();
});

// What was done is news for so long; what was not done stays until something else is tried.
const NEWS_MS = 6_000;
let forgets = null;

function tell(said, isNews) {
  clearTimeout(forgets);
  notice.textContent = said;
  notice.className = isNews ? "ok" : "bad";
  if (isNews) forgets = setTimeout(() => { notice.textContent = ""; }, NEWS_MS);
}

/** The sentence of a refusal, which the API wraps in JSON. */
function sentence(body) {
  try {
    return JSON.parse(body).error ?? body;
  } catch {
    return body;
  }
}

main.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const answer = await fetch(event.target.action, { method: "POST", redirect: "manual" });
    const failed = answer.type !== "opaqueredirect" && !answer.ok;
    if (failed) tell("■ That did not work: " + sentence(await answer.text()), false);
    else tell("Done.", true);
  } catch {
    tell("■ That did not work: the server does not answer.", false);
  }
});
listen();

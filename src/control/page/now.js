// Puts the parts of the page that have changed into their places, as the server sends them.
const main = document.querySelector("main");
const live = document.querySelector("#live");
const notice = document.querySelector("#notice");
let events = null;

/** By what an element is found again, wherever it stands then. */
const key = (node) => node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.open || "" : "";

/** Makes one element, or text, what another one is, without touching what people have done to it. */
function become(own, wanted) {
  if (own.nodeType !== Node.ELEMENT_NODE) {
    if (own.nodeValue !== wanted.nodeValue) own.nodeValue = wanted.nodeValue;
    return;
  }
  // What another script has in its hands is that one's.
  if ("own" in own.dataset) return;
  for (const { name, value } of [...wanted.attributes]) if (own.getAttribute(name) !== value) own.setAttribute(name, value);
  for (const { name } of [...own.attributes]) {
    const isOpened = name === "open" && own.localName === "details";
    if (!isOpened && !wanted.hasAttribute(name)) own.removeAttribute(name);
  }
  fill(own, wanted);
}

/** Gives an element the children of another one. What stays what it was stays itself: open, selected, scrolled to, half typed. */
function fill(own, wanted) {
  const known = new Map();
  for (const child of own.childNodes) if (key(child)) known.set(key(child), child);
  let at = own.firstChild;
  for (const child of [...wanted.childNodes]) {
    const name = key(child);
    // What is not there any more makes room at once: those behind it stay where they are.
    while (at && key(at) && key(at) !== name && !has(wanted, key(at))) at = removed(at);
    const like = at && !key(at) && at.nodeName === child.nodeName ? at : null;
    const same = name ? known.get(name) : like;
    if (!same || same.nodeName !== child.nodeName) {
      own.insertBefore(child, at);
      continue;
    }
    become(same, child);
    if (same === at) at = at.nextSibling;
    else own.insertBefore(same, at);
  }
  while (at) at = removed(at);
}

const has = (parent, name) => [...parent.childNodes].some((child) => key(child) === name);

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function place(piece) {
  const id = "p-" + piece.name;
  let section = document.getElementById(id);
  if (!section) {
    section = document.createElement("section");
    section.id = id;
    if (piece.name.startsWith("channel-")) section.className = "row";
    main.append(section);
  }
  const wanted = document.createElement("template");
  wanted.innerHTML = piece.html;
  fill(section, wanted.content);
}

/** What somebody is at, or else what stands at the top of the screen, is to stay where it is: this says so afterwards. */
function anchor() {
  const isSeen = (one) => one.getBoundingClientRect().bottom > 0 && one.getBoundingClientRect().top < innerHeight;
  const focused = main.contains(document.activeElement) && isSeen(document.activeElement) ? document.activeElement : null;
  const seen = focused ?? (scrollY > 0 ? [...main.querySelectorAll("section, tr, h3")].find(isSeen) : null);
  const top = seen?.getBoundingClientRect().top;
  return () => {
    if (seen?.isConnected) scrollBy(0, seen.getBoundingClientRect().top - top);
  };
}

function show(news) {
  const focused = document.activeElement;
  const section = focused?.closest("main > section");
  const stay = anchor();
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
  if (document.activeElement !== focused) {
    // Who has been moved keeps the focus. Of who is gone the part of the page gets it, and not its beginning.
    if (!focused.isConnected && section) section.tabIndex = -1;
    (focused.isConnected ? focused : section)?.focus({ preventScroll: true });
  }
  stay();
}

function listen() {
  if (document.hidden || events) return;
  events = new EventSource(main.dataset.events);
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

/** Whether a form has nothing to say but "do it", and comes back to this page. */
function staysHere(form) {
  const back = form.elements.back?.value ?? (location.pathname === "/ui/" ? "/ui/" : "");
  return form.method === "post" && back.split(/[?#]/)[0] === location.pathname;
}

main.addEventListener("submit", async (event) => {
  const form = event.target;
  // Where nothing follows what is done, the page is to be loaded again.
  if (!staysHere(form) || events?.readyState !== EventSource.OPEN) return;
  event.preventDefault();
  try {
    const answer = await fetch(form.action, { method: "POST", redirect: "manual", body: new URLSearchParams(new FormData(form)) });
    const failed = answer.type !== "opaqueredirect" && !answer.ok;
    if (failed) tell("■ That did not work: " + sentence(await answer.text()), false);
    else tell("Done.", true);
  } catch {
    tell("■ That did not work: the server does not answer.", false);
  }
});
listen();

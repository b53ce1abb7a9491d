/* Keeps a dashboard up to date: while the page is visible its parts (data-part) are asked for again,
   and those that have changed are replaced. What is open stays open, and the focus stays. */

const EVERY_MS = 10_000;
const state = document.getElementById("live-state");
const pause = document.getElementById("live-pause");
const before = new Map();
let paused = false;
let timer = 0;
let asking = false;
let again = false; // somebody looked while an answer was under way, which may be an old one

remember();
document.getElementById("reload").hidden = true; // it stands there for those without script
pause.hidden = false;
pause.setAttribute("aria-pressed", "false");
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  say(paused ? "Updates are paused." : "");
  plan(paused ? null : 0);
});
document.addEventListener("visibilitychange", () => plan(document.hidden ? null : 0));
plan(EVERY_MS);

function plan(delay) {
  clearTimeout(timer);
  if (delay !== null && !paused && !document.hidden) timer = setTimeout(update, delay);
}

async function update() {
  again = asking;
  if (asking) return;
  asking = true;
  try {
    await refresh();
  } catch {
    say("The site does not respond. Trying again.");
  } finally {
    asking = false;
    plan(again ? 0 : EVERY_MS);
  }
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { "X-Fragment": "1" } });
  if (answer.status === 401 || answer.status === 403) {
    paused = true;
    say("You have been signed out. Reload the page to sign in.");
  } else if (!answer.ok) {
    say("The site does not respond. Trying again.");
  } else if (!paused) {
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
  }
}

function show(fresh) {
  const place = placeInView();
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const name = part.dataset.part;
    const source = part.outerHTML;
    const there = document.querySelector(`[data-part="${name}"]`);
    if (there && before.get(name) !== source) replace(there, part);
    before.set(name, source);
  }
  const time = fresh.getElementById("as-of");
  if (time) document.getElementById("as-of").replaceWith(time);
  say("This page updates automatically.");
  place();
}

/* Remembers where the focused thing, or else the first part in view, stands in the window; to be
   called when the parts have been replaced, so that they do not move under people's eyes. */
function placeInView() {
  const parts = [...document.querySelectorAll("[data-part]")];
  const focused = parts.find((part) => part.contains(document.activeElement));
  const part = focused ?? parts.find((each) => each.getBoundingClientRect().bottom > 0);
  if (!part) return () => {};
  const look = () => (focused ? document.activeElement
    : document.querySelector(`[data-part="${part.dataset.part}"]`)).getBoundingClientRect().top;
  const top = look();
  return () => window.scrollBy(0, look() - top);
}

function replace(there, part) {
  const held = there.contains(document.activeElement) ? path(there, document.activeElement) : null;
  const open = [...there.querySelectorAll("details")].map((one) => one.open);
  const scrolled = [...there.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  there.replaceWith(part);
  part.querySelectorAll("details").forEach((one, index) => { one.open = open[index] ?? false; });
  part.querySelectorAll(".scroll").forEach((one, index) => { one.scrollLeft = scrolled[index] ?? 0; });
  if (held) find(part, held)?.focus({ preventScroll: true });
}

/* Where an element stands: the numbers of the children on the way to it. */
function path(root, element) {
  const steps = [];
  for (let each = element; each !== root; each = each.parentElement) {
    steps.unshift([...each.parentElement.children].indexOf(each));
  }
  return steps;
}

function find(root, steps) {
  return steps.reduce((each, step) => each?.children[step], root);
}

function remember() {
  for (const part of document.querySelectorAll("[data-part]")) {
    before.set(part.dataset.part, part.outerHTML);
  }
}

function say(words) {
  if (state.textContent !== words) state.textContent = words;
}

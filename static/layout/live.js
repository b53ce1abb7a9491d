/* Keeps a dashboard up to date. While the page is visible, its parts (data-part) are loaded again,
   and changed parts are replaced. New ones appear in their place, and those that are gone go. Open
   details stay open, and the focus stays. */

import { text } from "./texts.js";

const EVERY_MS = 10_000;
const state = document.getElementById("live-state");
const pause = document.getElementById("live-pause");
const before = new Map();
let paused = false;
let timer = 0;
let asking = false;
let again = false; // an update was requested during another one, whose result may be out of date

remember();
document.getElementById("reload").hidden = true; // it is for browsers without scripts
pause.hidden = false;
pause.setAttribute("aria-pressed", "false");
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  say(paused ? text("paused") : "");
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
    say(text("silent"));
  } finally {
    asking = false;
    plan(again ? 0 : EVERY_MS);
  }
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { "X-Fragment": "1" } });
  if (answer.status === 401 || answer.status === 403) {
    say(text("signed_out")); // until somebody has, in another tab
  } else if (!answer.ok) {
    say(text("silent"));
  } else if (!paused) {
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
  }
}

function show(fresh) {
  const language = fresh.querySelector("main")?.lang;
  if (language && language !== document.documentElement.lang) {
    location.reload(); // it was changed in another tab, and the rest of the page is not asked for
    return;
  }
  const place = placeInView();
  const parts = [...fresh.querySelectorAll("[data-part]")];
  let previous = null;
  for (const part of parts) {
    const name = part.dataset.part;
    const source = part.outerHTML;
    const there = find(name);
    if (!there) insert(part, previous);
    else if (before.get(name) !== source) replace(there, part);
    before.set(name, source);
    previous = find(name);
  }
  if (parts.length) removeOthers(new Set(parts.map((part) => part.dataset.part)));
  const time = fresh.getElementById("as-of");
  if (time) document.getElementById("as-of").replaceWith(time);
  say(text("updated"));
  place();
}

/* Remembers the position of the focused element, or else of the first visible part. The function it
   returns restores that position after parts were replaced, so that nothing moves on the screen. */
function placeInView() {
  const parts = [...document.querySelectorAll("[data-part]")];
  const focused = parts.find((part) => part.contains(document.activeElement));
  const part = focused ?? parts.find((each) => each.getBoundingClientRect().bottom > 0);
  if (!part) return () => {};
  const look = () => (focused ? document.activeElement : find(part.dataset.part))
    ?.getBoundingClientRect().top;
  const top = look();
  return () => window.scrollBy(0, (look() ?? top) - top);
}

function find(name) {
  return document.querySelector(`[data-part="${name}"]`);
}

/* Puts a part that was not there after the one that comes before it. */
function insert(part, previous) {
  if (previous) previous.after(part);
  else document.querySelector("[data-part]")?.before(part);
}

function removeOthers(names) {
  for (const part of document.querySelectorAll("[data-part]")) {
    if (names.has(part.dataset.part)) continue;
    before.delete(part.dataset.part);
    part.remove();
  }
}

function replace(there, part) {
  const held = there.contains(document.activeElement) ? path(there, document.activeElement) : null;
  const open = [...there.querySelectorAll("details")].map((one) => one.open);
  const scrolled = [...there.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  there.replaceWith(part);
  part.querySelectorAll("details").forEach((one, index) => { one.open = open[index] ?? false; });
  part.querySelectorAll(".scroll").forEach((one, index) => { one.scrollLeft = scrolled[index] ?? 0; });
  if (held) childAt(part, held)?.focus({ preventScroll: true });
}

/* Returns the position of an element in a tree, as the numbers of the children on the way. */
function path(root, element) {
  const steps = [];
  for (let each = element; each !== root; each = each.parentElement) {
    steps.unshift([...each.parentElement.children].indexOf(each));
  }
  return steps;
}

function childAt(root, steps) {
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

// The form that turns a head. When a choice changes, the pictures at each angle are counted again.
// Without this script the button "Count again" does the same.

import { text } from "../layout/texts.js";

const WAIT_MS = 400;
const RETRY_MS = 1000;
const MOST_TRIES = 60;

const form = document.getElementById("turn");
const clusters = document.getElementById("clusters");
const members = document.getElementById("members");
let shown = ""; // the address of the pictures that are shown
let timer = 0;
let running = new AbortController();

async function count() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const body = new FormData(form);
  body.delete("upload"); // the picture itself is not needed for it
  try {
    const answer = await fetch(form.getAttribute("data-preview"), { method: "POST", body, signal });
    const part = await answer.text();
    if (signal.aborted) return; // a newer count follows
    if (!answer.ok) throw new Error(`The site answered ${answer.status}.`);
    const parsed = new DOMParser().parseFromString(part, "text/html");
    clusters.replaceChildren(...parsed.querySelector("[data-part=counted]").childNodes);
    changeMembers(parsed.getElementById("members"));
  } catch {
    if (!signal.aborted) tellFailure();
  }
}

/** The numbers that are shown belong to other choices, so they go. */
function tellFailure() {
  const told = document.createElement("p");
  told.className = "flag";
  told.textContent = text("failed");
  clusters.replaceChildren(told);
  members.hidden = true;
}

/** The pictures belong to other choices now. They stay open; those that are shown are loaded anew. */
function changeMembers(next) {
  members.hidden = next.hidden;
  if (members.dataset.members === next.dataset.members) return;
  members.dataset.members = next.dataset.members;
  if (members.open) loadMembers();
  else members.lastElementChild.replaceWith(next.lastElementChild);
}

/** The pictures are loaded when somebody wants to see them. What was there stays if not. */
async function loadMembers() {
  const address = members.dataset.members;
  if (!address || address === shown) return;
  try {
    const answer = await fetch(address);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const part = page.querySelector("[data-part=members]");
    if (!answer.ok || !part || address !== members.dataset.members) return;
    members.lastElementChild.replaceWith(part);
    shown = address;
  } catch {
    // without a connection
  }
}

members.addEventListener("toggle", () => {
  if (members.open) loadMembers();
});
if (members.open) loadMembers(); // somebody was faster than this script

/** The site draws one mean face after the other, and refuses one that would wait long. */
function retry(image) {
  const tries = Number(image.dataset.tries ?? 0);
  if (tries >= MOST_TRIES) return;
  image.dataset.tries = tries + 1;
  setTimeout(() => { image.src = image.getAttribute("src"); }, RETRY_MS);
}

clusters.addEventListener("error", (event) => retry(event.target), { capture: true });
for (const image of clusters.querySelectorAll("img")) {
  if (image.complete && image.naturalWidth === 0) retry(image); // refused before this script ran
}

if (clusters.querySelector("[data-uncounted]")) {
  clusters.firstElementChild.textContent = text("counting");
  count();
}
form.addEventListener("input", (event) => {
  if (["name", "upload", "keep"].includes(event.target.name)) return;
  clearTimeout(timer);
  timer = setTimeout(count, WAIT_MS);
});
document.getElementById("own_angles").addEventListener("input", () => {
  document.getElementById("angles-own").checked = true;
});

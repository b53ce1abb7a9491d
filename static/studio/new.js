// The form that turns a head. When a choice changes, the pictures at each angle are counted again.
// Without this script the button "Count again" does the same.

import { text } from "../layout/texts.js";

const WAIT_MS = 400;

const form = document.getElementById("turn");
const clusters = document.getElementById("clusters");
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
    clusters.replaceChildren(...parsed.body.childNodes);
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
}

/* The pictures at each angle are loaded when somebody wants to see them. The link stays if not. */
clusters.addEventListener("toggle", async (event) => {
  const address = event.target.dataset.members;
  if (!address || !event.target.open) return;
  delete event.target.dataset.members;
  try {
    const answer = await fetch(address);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const part = page.querySelector("[data-part=members]");
    if (answer.ok && part) event.target.lastElementChild.replaceWith(part);
  } catch {
    // without a connection
  }
}, { capture: true });

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

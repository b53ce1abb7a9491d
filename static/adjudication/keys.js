// Keys for decisions, the same as on the labelling page. Each key presses a button of the page, so
// without this script only the keys are missing.

import { isCombined, nameOf } from "../voting/keys.js";

const DECISIONS = {
  ArrowLeft: "left", 1: "left",
  ArrowUp: "center", ArrowDown: "center", 2: "center",
  ArrowRight: "right", 3: "right",
  u: "cannot tell",
};
const OTHERS = { g: "use_as_gold", s: "skip", z: "undo" };
const KNOWN = [...Object.keys(DECISIONS), ...Object.keys(OTHERS)];
const form = document.getElementById("decision");
let sent = false; // only one decision per page, even if a key is pressed twice

function isWriting(element) {
  return element.matches("input:not([type=checkbox]), textarea, select");
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("#decision input")) event.preventDefault();
  if (event.repeat || isCombined(event) || sent || isWriting(event.target)) return;
  const key = nameOf(event, KNOWN);
  const target = key in DECISIONS
    ? form?.querySelector(`button[value="${DECISIONS[key]}"]`)
    : document.getElementById(OTHERS[key] ?? "");
  if (!target) return;
  event.preventDefault();
  target.click();
});
for (const one of document.querySelectorAll("#decision, #undo-form")) {
  one.addEventListener("submit", () => { sent = true; });
}
// A page restored from the browser's history can be used again.
window.addEventListener("pageshow", () => { sent = false; });

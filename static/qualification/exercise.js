// The qualification page: keys press its buttons. Without this script the buttons still work.

import { text } from "../layout/texts.js";
import { fitTo } from "../voting/fit.js";
import { isCombined, nameOf } from "../voting/keys.js";

const KEYS = {
  ArrowLeft: "left", 1: "left",
  ArrowUp: "center", ArrowDown: "center", 2: "center",
  ArrowRight: "right", 3: "right",
  u: "unsure",
};
const KNOWN = [...Object.keys(KEYS), "z", "?"];

const stage = document.getElementById("stage");
const [image] = stage.getElementsByTagName("img");
const size = { width: Number(image.dataset.width), height: Number(image.dataset.height) };
new ResizeObserver(() => fitTo(stage, image, size)).observe(stage);

const help = document.getElementById("help");
const onwards = document.getElementById("onwards");
let sent = false; // one answer for each image, even if a key is pressed twice

document.getElementById("help-link")?.addEventListener("click", (event) => {
  event.preventDefault();
  help.showModal();
});
// Only this form: the one that closes the help is submitted too.
document.getElementById("answers")?.addEventListener("submit", () => { sent = true; });
window.addEventListener("pageshow", () => { sent = false; });
document.addEventListener("keydown", (event) => {
  if (event.repeat || isCombined(event) || help.open) return;
  if (act(event)) event.preventDefault();
});

/** Do what a key stands for. @returns {boolean} whether it stands for anything here */
function act(event) {
  const key = nameOf(event, KNOWN);
  if (key === "?") help.showModal();
  else if (key === "z") explainUndo();
  else if (onwards) {
    // Enter goes on wherever the focus is, except on another link.
    const elsewhere = event.target.closest?.("a") ?? onwards;
    if (event.key !== "Enter" || elsewhere !== onwards) return false;
    onwards.click();
  } else if (key in KEYS) {
    if (!sent) document.querySelector(`button[value=${KEYS[key]}]`).click();
  } else return false;
  return true;
}

/** Say why `z` does nothing, below what the region says already. */
function explainUndo() {
  document.getElementById("no-undo")?.remove();
  const why = Object.assign(document.createElement("p"), { id: "no-undo", textContent: text("no-undo") });
  document.getElementById("lesson").append(why);
}

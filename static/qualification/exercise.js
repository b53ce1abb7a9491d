// The qualification page: keys press its buttons. Without this script the buttons still work.

import { fitTo } from "../voting/fit.js";
import { isCombined, nameOf } from "../voting/keys.js";

const KEYS = {
  ArrowLeft: "left", 1: "left",
  ArrowUp: "center", ArrowDown: "center", 2: "center",
  ArrowRight: "right", 3: "right",
};

const stage = document.getElementById("stage");
const [image] = stage.getElementsByTagName("img");
const size = { width: Number(image.dataset.width), height: Number(image.dataset.height) };
new ResizeObserver(() => fitTo(stage, image, size)).observe(stage);

document.addEventListener("keydown", (event) => {
  if (event.repeat || isCombined(event)) return;
  const key = nameOf(event, Object.keys(KEYS));
  const onwards = document.getElementById("onwards");
  if (onwards) {
    // Enter goes on wherever the focus is, except on another link.
    const elsewhere = event.target.closest?.("a") ?? onwards;
    if (event.key === "Enter" && elsewhere === onwards) onwards.click();
    else return;
  } else if (key in KEYS) {
    document.querySelector(`#answers button[value=${KEYS[key]}]`).click();
  } else return;
  event.preventDefault();
});

// Buttons that copy the text of a field. Without clipboard access they select it instead.

import { text } from "./layout/texts.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  button.hidden = false;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      button.textContent = text("copied");
    } catch {
      button.textContent = text("selected");
    }
  });
}

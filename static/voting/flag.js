// The dialog with which a person flags the image on the screen: digits choose a reason, Enter sends.
// What is chosen and typed stays in it until the site has it. Without scripts there is a page for it.

import { text } from "../layout/texts.js";

export class FlagDialog {
  #dialog = document.getElementById("flag");
  #form = this.#dialog.querySelector("form");
  #problem = document.getElementById("flag-problem");
  #image = null;

  /** @param {{api: import("./api.js").Api, onFlagged: () => void}} options */
  constructor({ api, onFlagged }) {
    this.#form.addEventListener("submit", (event) => {
      if (event.submitter?.value === "cancel") return;
      event.preventDefault();
      void this.#send(api, onFlagged);
    });
    this.#dialog.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Ask what is wrong with an image. @param {{image_id: number, campaign_id: number}} image */
  open(image) {
    if (this.#image?.image_id !== image.image_id) this.#form.reset();
    this.#image = image;
    this.#problem.hidden = true;
    this.#dialog.showModal();
  }

  async #send(api, onFlagged) {
    const { reason, note } = Object.fromEntries(new FormData(this.#form));
    const outcome = await api.flag(this.#image, reason, note);
    if (outcome.kind === "done") {
      this.#form.reset();
      this.#dialog.close();
      onFlagged();
      return;
    }
    const why = outcome.body?.error?.message ?? text("unreachable");
    this.#problem.textContent = text("flag-kept", { why });
    this.#problem.hidden = false;
  }

  #onKey(event) {
    const reasons = this.#form.querySelectorAll("input[type=radio]");
    const reason = reasons[Number(event.key) - 1];
    if (!reason || event.target.id === "flag-note") return;
    reason.checked = true;
    reason.focus();
    event.preventDefault();
  }
}

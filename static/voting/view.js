// The elements on the screen. This module knows nothing about queues and servers.

import { fitTo } from "./fit.js";

const WAITING = "The next image is loading.";

export class View {
  #stage = document.getElementById("stage");
  #hint = document.getElementById("hint");
  #count = document.getElementById("count");
  #connection = document.getElementById("connection");
  #last = document.getElementById("last");
  #notice = document.getElementById("notice");
  #undo = document.getElementById("undo");
  #image = null;

  constructor() {
    new ResizeObserver(() => this.#fit()).observe(this.#stage);
    document.getElementById("notice-close").addEventListener("click", () => this.dismiss());
  }

  /** Show a decoded image. @param {import("./prefetch.js").Item} item */
  show(item) {
    this.#image = item;
    this.#fit();
    this.#stage.replaceChildren(item.element);
    this.#hint.textContent = describe(item.image.shown);
    this.#offer(true);
  }

  /** Show that no image is ready. `idle`: why none will come; null: one is loading. */
  showNothing(idle) {
    this.#image = null;
    this.#hint.textContent = "";
    this.#stage.replaceChildren(idle ? explanation(idle) : paragraph(WAITING));
    this.#offer(false);
  }

  showCount({ votes, left }) {
    this.#count.textContent = left === null ? `${votes} answered` : `${votes} answered, ${left} to go`;
  }

  showWaiting(count) {
    const text = count === 1 ? "1 vote waiting to be sent" : `${count} votes waiting to be sent`;
    const shown = count === 0 ? "" : text;
    if (this.#connection.textContent !== shown) this.#connection.textContent = shown;
  }

  /** Show the last answer; null if there is nothing to undo. */
  showLast(answer) {
    this.#undo.disabled = answer === null;
    this.#last.textContent = answer === null ? "" : `Last answer: ${answer}`;
  }

  /** Show a message until the person closes it. */
  notify(text, link = null) {
    const [body] = this.#notice.getElementsByTagName("p");
    body.textContent = `${text} `;
    if (link) body.append(Object.assign(document.createElement("a"), link));
    this.#notice.hidden = false;
  }

  dismiss() {
    this.#notice.hidden = true;
  }

  #offer(possible) {
    for (const button of document.querySelectorAll("button[name=answer]")) button.disabled = !possible;
  }

  #fit() {
    if (this.#image) fitTo(this.#stage, this.#image.element, this.#image.image);
  }
}

function describe(shown) {
  if (!shown) return "";
  const sure = shown.probability === null ? "" : ` (${Math.round(shown.probability * 100)} %)`;
  return `Suggestion: ${shown.label}${sure}`;
}

/** Make the same element as the macro `nothing` in macros.html. @param {{title: string, message: string, ways: object[]}} idle */
function explanation({ title, message, ways }) {
  const box = Object.assign(document.createElement("div"), { className: "finished" });
  box.append(Object.assign(document.createElement("h2"), { textContent: title }), paragraph(message));
  const row = Object.assign(paragraph(""), { className: "row" });
  for (const { address, text } of ways) {
    const link = { href: address, textContent: text, className: "button" };
    row.append(Object.assign(document.createElement("a"), link), " ");
  }
  if (ways.length > 0) box.append(row);
  return box;
}

function paragraph(text) {
  return Object.assign(document.createElement("p"), { textContent: text });
}

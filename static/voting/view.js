// The elements on the screen. This module knows nothing about queues and servers.

import { keep } from "../messages/draft.js";
import { fitTo } from "./fit.js";
import { text } from "../layout/texts.js";

const NOTHING = { online: "loading", busy: "is-busy", offline: "is-offline" }; // by connection

export class View {
  #stage = document.getElementById("stage");
  #hint = document.getElementById("hint");
  #count = document.getElementById("count");
  #connection = document.getElementById("connection");
  #last = document.getElementById("last");
  #notice = document.getElementById("notice");
  #announced = document.getElementById("announced");
  #topic = "";
  #undo = document.getElementById("undo");
  #image = null;
  #nothing = ""; // what is shown instead of an image

  constructor() {
    new ResizeObserver(() => this.#fit()).observe(this.#stage);
    document.getElementById("notice-close").addEventListener("click", () => this.dismiss());
  }

  /** Show a decoded image. @param {import("./prefetch.js").Item} item */
  show(item) {
    this.#image = item;
    this.#nothing = "";
    this.#fit();
    this.#stage.replaceChildren(item.element);
    this.#hint.textContent = describe(item.image.shown);
    this.#offer(true);
  }

  /**
   * Show that no image is ready. `idle`: why none will come; null: one is loading, or will once the
   * site can be reached.
   * @param {import("./api.js").Connection} connection
   * @returns {string} what is shown
   */
  showNothing(idle, connection) {
    const shown = idle ? `${idle.title} ${idle.message}` : text(NOTHING[connection]);
    if (this.#nothing === shown) return shown;
    this.#nothing = shown;
    this.#image = null;
    this.#hint.textContent = "";
    this.#stage.replaceChildren(idle ? explanation(idle) : paragraph(shown));
    for (const area of this.#stage.querySelectorAll("textarea")) keep(area);
    this.#offer(false);
    if (idle && document.activeElement === document.body) this.#stage.querySelector("a")?.focus();
    return shown;
  }

  /** Name the campaign of the image, if the page offers several. @param {string | undefined} name */
  showCampaign(name) {
    const shown = document.getElementById("campaign-name");
    if (shown && name && shown.textContent !== name) shown.textContent = name;
  }

  /** Say something to screen readers, also if it is what was said last. @param {string} said */
  announce(said) {
    this.#announced.replaceChildren(Object.assign(document.createElement("span"), { textContent: said }));
  }

  showCount({ votes, left }) {
    this.#count.textContent = left === null ? text("answered", { votes }) : text("answered-of", { votes, left });
  }

  /** Show how many votes wait, and whether the site can be reached. @param {import("./api.js").Connection} connection */
  showWaiting(count, connection) {
    const key = connection === "online" ? "waiting" : count > 0 ? `${connection}-kept` : connection;
    const shown = key === "waiting" && count === 0 ? "" : text(key, { count });
    if (this.#connection.textContent !== shown) this.#connection.textContent = shown;
  }

  /** Show the last answer; null if there is nothing to undo. */
  showLast(answer) {
    this.#undo.disabled = answer === null;
    this.#last.textContent = answer === null ? "" : text("last", { answer: text(answer) });
  }

  /** Show a message until the person closes it, or until its topic is settled. */
  notify(said, { link = null, topic = "" } = {}) {
    this.#topic = topic;
    this.#notice.setAttribute("role", "alert");
    const [body] = this.#notice.getElementsByTagName("p");
    body.textContent = `${said} `;
    if (link) body.append(Object.assign(document.createElement("a"), link));
    this.#notice.hidden = false;
  }

  /** Say that something is done, to everybody. @param {string} said */
  tell(said) {
    this.notify(said);
    this.#notice.setAttribute("role", "status");
  }

  /** Close the message about something that is settled. */
  settle(topic) {
    if (this.#topic === topic) this.dismiss();
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

/** Write the suggestion of an image; "" without one. */
export function describe(shown) {
  if (!shown) return "";
  const label = text(shown.label);
  if (shown.probability === null) return text("suggestion", { label });
  return text("suggestion-sure", { label, percent: Math.round(shown.probability * 100) });
}

/** Make the same element as the macro `nothing` in macros.html. @param {{title: string, message: string, ways: object[], reply: string, max_length: number}} idle */
function explanation({ title, message, ways, reply, max_length }) {
  const box = Object.assign(document.createElement("div"), { className: "finished" });
  box.append(Object.assign(document.createElement("h2"), { textContent: title }), paragraph(message, "why"));
  if (reply) box.append(replyForm(reply, max_length));
  const row = Object.assign(paragraph(""), { className: "row" });
  for (const { address, text: words } of ways) {
    const link = { href: address, textContent: words, className: "button" };
    const element = Object.assign(document.createElement("a"), link);
    element.setAttribute("aria-describedby", "why");
    row.append(element, " ");
  }
  if (ways.length > 0) box.append(row);
  return box;
}

function replyForm(address, maxLength) {
  const form = Object.assign(document.createElement("form"), { method: "post", action: address, className: "reply" });
  const token = document.querySelector("input[name=csrf_token]").cloneNode();
  const label = Object.assign(document.createElement("label"), { htmlFor: "text", textContent: text("reply") });
  const area = Object.assign(document.createElement("textarea"), { id: "text", name: "text", rows: 3, maxLength, required: true });
  area.dataset.draft = "own";
  form.append(token, label, area, Object.assign(document.createElement("button"), { textContent: text("send") }));
  return form;
}

function paragraph(words, id = "") {
  return Object.assign(document.createElement("p"), { textContent: words, id });
}

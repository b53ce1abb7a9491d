// The elements on the screen. This module knows nothing about queues and servers.

import { keep } from "../messages/draft.js";
import { fitTo } from "./fit.js";

const WAITING = "The next image is loading.";
const OFFLINE = "You are offline. Your answers are kept in this browser and are sent when the "
  + "connection is back. The next image comes then.";
const BUSY = "The site is busy. Your answers are kept and sent again.";
const number = new Intl.NumberFormat("en");

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
    const text = idle ? `${idle.title} ${idle.message}` : { online: WAITING, busy: BUSY, offline: OFFLINE }[connection];
    if (this.#nothing === text) return text;
    this.#nothing = text;
    this.#image = null;
    this.#hint.textContent = "";
    this.#stage.replaceChildren(idle ? explanation(idle) : paragraph(text));
    for (const area of this.#stage.querySelectorAll("textarea")) keep(area);
    this.#offer(false);
    if (idle && document.activeElement === document.body) this.#stage.querySelector("a")?.focus();
    return text;
  }

  /** Name the campaign of the image, if the page offers several. @param {string | undefined} name */
  showCampaign(name) {
    const shown = document.getElementById("campaign-name");
    if (shown && name && shown.textContent !== name) shown.textContent = name;
  }

  /** Say something to screen readers, also if it is what was said last. @param {string} text */
  announce(text) {
    this.#announced.replaceChildren(Object.assign(document.createElement("span"), { textContent: text }));
  }

  showCount({ votes, left }) {
    const answered = `${number.format(votes)} answered`;
    this.#count.textContent = left === null ? answered : `${answered}, ${number.format(left)} to go`;
  }

  /** Show how many votes wait, and whether the site can be reached. @param {import("./api.js").Connection} connection */
  showWaiting(count, connection) {
    const votes = `${number.format(count)} ${count === 1 ? "vote" : "votes"}`;
    const waiting = count === 0 ? "" : `${votes} waiting to be sent`;
    const why = connection === "busy" ? "Site busy" : "Offline";
    const lost = count === 0 ? why : `${why}: ${votes} kept here`;
    const shown = connection === "online" ? waiting : lost;
    if (this.#connection.textContent !== shown) this.#connection.textContent = shown;
  }

  /** Show the last answer; null if there is nothing to undo. */
  showLast(answer) {
    this.#undo.disabled = answer === null;
    this.#last.textContent = answer === null ? "" : `Last answer: ${answer}`;
  }

  /** Show a message until the person closes it, or until its topic is settled. */
  notify(text, { link = null, topic = "" } = {}) {
    this.#topic = topic;
    this.#notice.setAttribute("role", "alert");
    const [body] = this.#notice.getElementsByTagName("p");
    body.textContent = `${text} `;
    if (link) body.append(Object.assign(document.createElement("a"), link));
    this.#notice.hidden = false;
  }

  /** Say that something is done, to everybody. @param {string} text */
  tell(text) {
    this.notify(text);
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
  const sure = shown.probability === null ? "" : ` (${Math.round(shown.probability * 100)} %)`;
  return `Suggestion: ${shown.label}${sure}`;
}

/** Make the same element as the macro `nothing` in macros.html. @param {{title: string, message: string, ways: object[], reply: string, max_length: number}} idle */
function explanation({ title, message, ways, reply, max_length }) {
  const box = Object.assign(document.createElement("div"), { className: "finished" });
  box.append(Object.assign(document.createElement("h2"), { textContent: title }), paragraph(message, "why"));
  if (reply) box.append(replyForm(reply, max_length));
  const row = Object.assign(paragraph(""), { className: "row" });
  for (const { address, text } of ways) {
    const link = { href: address, textContent: text, className: "button" };
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
  const label = Object.assign(document.createElement("label"), { htmlFor: "text", textContent: "Your message to the people who run the labelling" });
  const area = Object.assign(document.createElement("textarea"), { id: "text", name: "text", rows: 3, maxLength, required: true });
  area.dataset.draft = "own";
  form.append(token, label, area, Object.assign(document.createElement("button"), { textContent: "Send" }));
  return form;
}

function paragraph(text, id = "") {
  return Object.assign(document.createElement("p"), { textContent: text, id });
}

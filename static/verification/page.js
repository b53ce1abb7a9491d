// The page that verifies many images. Each image becomes a button that shows its answer in words.
// Arrow keys move between images, digits answer, Enter confirms. Without this script people use the
// lists below the images. A page that is confirmed without a connection is kept and sent later, and
// marks stay while the page is loaded again.

import { Api } from "../voting/api.js";
import { isCombined, nameOf } from "../voting/keys.js";
import { openStorage } from "../voting/queue.js";
import { Outbox } from "./outbox.js";

const NEXT = {
  left: ["left", "center", "right", "unsure"],
  center: ["center", "left", "right", "unsure"],
  right: ["right", "center", "left", "unsure"],
};
const KEYS = { 1: "left", 2: "center", 3: "right", u: "unsure" };
const KNOWN = [...Object.keys(KEYS), "z"];
const RETRY_MS = 3000;
const OFFLINE = "You are offline. This page is kept in this browser and is sent when the connection is back.";

class Tile {
  /** @param {HTMLElement} label @param {number} number @param {number} count @param {string} called */
  constructor(label, number, count, called) {
    this.seen = false;
    this.called = called;
    this.select = label.querySelector("select");
    this.imageId = this.select.name.replace("answer-", "");
    this.button = document.createElement("button");
    this.word = document.createElement("span");
    this.name = `Image ${number} of ${count}`;
    this.button.type = "button";
    this.button.className = "tile";
    this.button.tabIndex = -1;
    this.button.append(label.querySelector("img"), this.word);
    label.replaceWith(this.button);
    this.select.hidden = true;
    this.button.after(this.select); // the form still sends its answer
    this.show();
  }

  get answer() {
    return this.select.value;
  }

  get changed() {
    return this.answer !== this.called;
  }

  set(answer) {
    this.select.value = answer;
    this.show();
  }

  cycle() {
    const round = NEXT[this.called];
    this.set(round[(round.indexOf(this.answer) + 1) % round.length]);
  }

  show() {
    this.word.textContent = this.changed ? `not ${this.called}: ${this.answer}` : this.answer;
    this.button.classList.toggle("changed", this.changed);
    this.button.setAttribute("aria-label", `${this.name}: ${this.word.textContent}`);
  }
}

class GridPage {
  #outbox;
  #signIn;
  #form = document.getElementById("grid");
  #said = document.getElementById("said");
  #confirm = document.getElementById("confirm");
  #called = this.#form.dataset.label;
  #sent = false;
  #sending = false;
  #timer = 0;
  /** @type {Tile[]} */ #tiles;

  /** @param {Outbox} outbox @param {string} signIn the address where one signs in */
  constructor(outbox, signIn) {
    this.#outbox = outbox;
    this.#signIn = signIn;
    const labels = [...this.#form.querySelectorAll("label.tile")];
    this.#tiles = labels.map((label, at) => new Tile(label, at + 1, labels.length, this.#called));
    this.#tiles[0].button.tabIndex = 0;
    this.#watch();
    this.#form.addEventListener("submit", (event) => this.#onSubmit(event));
    document.addEventListener("keydown", (event) => this.#onKey(event));
    for (const tile of this.#tiles) {
      tile.button.addEventListener("click", () => this.#change(tile, () => tile.cycle()));
      tile.button.addEventListener("focus", () => this.#makeCurrent(tile));
    }
    for (const type of ["online", "focus"]) window.addEventListener(type, () => this.#deliver());
    this.#restore();
    this.#tell();
    this.#tiles[0].button.focus({ preventScroll: true });
  }

  /** Note which images were on the screen, at least 60 % of them. */
  #watch() {
    const observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const tile = this.#tiles.find((one) => one.button === target);
        if (!isIntersecting) continue;
        tile.seen = true;
        observer.unobserve(target);
      }
    }, { threshold: 0.6, rootMargin: `0px 0px -${this.#barHeight()}px 0px` });
    for (const { button } of this.#tiles) observer.observe(button);
  }

  #barHeight() {
    return Math.round(this.#confirm.closest(".grid-bar").offsetHeight);
  }

  #onKey(event) {
    if (isCombined(event) || event.repeat && event.key === "Enter") return;
    const at = this.#tiles.findIndex(({ button }) => button === document.activeElement);
    const key = nameOf(event, KNOWN);
    if (key === "z") document.getElementById("undo")?.click();
    else if (at < 0) return;
    else if (key === "Enter") this.#form.requestSubmit(this.#confirm);
    else if (key in KEYS) this.#change(this.#tiles[at], () => this.#tiles[at].set(KEYS[key]));
    else if (!this.#move(at, key)) return;
    event.preventDefault();
  }

  /** Move with arrow keys, Home and End, by position on the screen. */
  #move(at, key) {
    const columns = this.#columns();
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const last = this.#tiles.length - 1;
    const to = key === "Home" ? 0 : key === "End" ? last : at + steps[key];
    if (Number.isNaN(to)) return false;
    this.#tiles[Math.min(Math.max(to, 0), last)].button.focus();
    return true;
  }

  #columns() {
    const top = this.#tiles[0].button.offsetTop;
    const below = this.#tiles.findIndex(({ button }) => button.offsetTop > top);
    return below < 0 ? this.#tiles.length : below;
  }

  #makeCurrent(current) {
    for (const { button } of this.#tiles) button.tabIndex = button === current.button ? 0 : -1;
  }

  #change(tile, how) {
    if (this.#sent) return;
    how();
    this.#outbox.draft(this.#answers((one) => one.changed));
    this.#tell();
  }

  /** Mark again what was marked before the page was loaded again. */
  #restore() {
    const marks = this.#outbox.drafted();
    for (const tile of this.#tiles) if (tile.imageId in marks) tile.set(marks[tile.imageId]);
  }

  /** @param {(tile: Tile) => boolean} [wanted] */
  #answers(wanted = () => true) {
    return Object.fromEntries(this.#tiles.filter(wanted).map((one) => [one.imageId, one.answer]));
  }

  #tell() {
    const changed = this.#tiles.filter((tile) => tile.changed).length;
    this.#said.textContent = changed === 0 ? "" : `${changed} changed`;
    this.#confirm.textContent = changed === 0
      ? `Confirm ${this.#tiles.length} images`
      : `Confirm ${this.#tiles.length - changed}, change ${changed}`;
  }

  /** Images that were not on the screen are not confirmed: the page scrolls to them first. */
  #onSubmit(event) {
    event.preventDefault();
    if (this.#sent) return;
    const unseen = this.#tiles.filter((tile) => !tile.seen);
    if (unseen.length === 0) return this.#send();
    this.#said.textContent = `Look at the ${unseen.length} images below first`;
    unseen[0].button.scrollIntoView({ block: "start" });
    unseen[0].button.focus({ preventScroll: true });
  }

  #send() {
    this.#sent = true;
    this.#confirm.setAttribute("aria-disabled", "true");
    const { batch, label, source, size, campaign_id: campaign } = this.#form.elements;
    this.#outbox.keep({
      batch: batch.value, label: label.value, source: source.value, size: Number(size.value),
      campaign_id: Number(campaign.value),
      answers: this.#answers(),
    });
    void this.#deliver();
  }

  /** Send what is kept, and go on to the next page. Without a connection try again later. */
  async #deliver() {
    if (!this.#sent || this.#sending) return;
    this.#sending = true;
    const outcome = await this.#outbox.send();
    this.#sending = false;
    if (outcome?.kind === "done") return location.assign(outcome.body.next);
    if (outcome?.kind === "signed-out") return this.#askToSignIn(outcome.body.error.message);
    if (outcome?.kind !== "retry") return this.#giveBack(outcome?.body.error.message);
    this.#say(OFFLINE);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#deliver(), RETRY_MS);
  }

  #say(text) {
    if (this.#said.textContent !== text) this.#said.textContent = text;
  }

  #askToSignIn(message) {
    this.#say(`${message} This page is kept in this browser. `);
    const link = { href: this.#signIn, textContent: "Sign in again" };
    this.#said.append(Object.assign(document.createElement("a"), link));
  }

  /** The server refused the whole page, so the person can change it. */
  #giveBack(message = "The page was sent from another tab. Reload it.") {
    this.#sent = false;
    this.#confirm.removeAttribute("aria-disabled");
    this.#say(message);
  }
}

/** Where no images are shown, `z` undoes the last page as well. */
function listenForUndo() {
  document.addEventListener("keydown", (event) => {
    const undo = document.getElementById("undo");
    if (isCombined(event) || event.repeat || !undo || nameOf(event, ["z"]) !== "z") return;
    undo.click();
    event.preventDefault();
  });
}

/** Send pages that an earlier visit has left, then show what is open now. */
async function start() {
  const data = JSON.parse(document.getElementById("grid-data").textContent);
  const { storage } = openStorage();
  const outbox = new Outbox({ ...data, api: new Api(data), storage });
  const earlier = await outbox.send();
  if (earlier?.kind === "done") location.reload();
  else if (document.getElementById("grid")) new GridPage(outbox, data.addresses.signIn);
  else listenForUndo();
}

// After "back" these images are answered already, so the page is loaded again.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
void start();

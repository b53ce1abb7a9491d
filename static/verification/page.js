// The page that verifies many images. Each image becomes a button that shows its answer in words.
// Arrow keys move between images, digits answer, Enter confirms. Without this script people use the
// lists below the images.

import { isCombined, nameOf } from "../voting/keys.js";

const NEXT = {
  left: ["left", "center", "right", "unsure"],
  center: ["center", "left", "right", "unsure"],
  right: ["right", "center", "left", "unsure"],
};
const KEYS = { 1: "left", 2: "center", 3: "right", u: "unsure" };
const KNOWN = [...Object.keys(KEYS), "z"];

class Tile {
  /** @param {HTMLElement} label @param {number} number @param {number} count @param {string} called */
  constructor(label, number, count, called) {
    this.seen = false;
    this.called = called;
    this.select = label.querySelector("select");
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
  #form = document.getElementById("grid");
  #said = document.getElementById("said");
  #confirm = document.getElementById("confirm");
  #called = this.#form.dataset.label;
  #sent = false;
  /** @type {Tile[]} */ #tiles;

  constructor() {
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
    how();
    this.#tell();
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
    const unseen = this.#tiles.filter((tile) => !tile.seen);
    if (unseen.length === 0 && !this.#sent) {
      this.#sent = true;
      return;
    }
    event.preventDefault();
    if (this.#sent) return;
    this.#said.textContent = `Look at the ${unseen.length} images below first`;
    unseen[0].button.scrollIntoView({ block: "start" });
    unseen[0].button.focus({ preventScroll: true });
  }
}

// After "back" these images are answered already, so the page is loaded again.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
new GridPage();

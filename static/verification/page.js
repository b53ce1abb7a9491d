// The page that verifies many images. Each image becomes a button that shows its answer in words.
// Arrow keys move between images, digits answer, Enter confirms. Without this script people use the
// lists below the images. A page that is confirmed without a connection is kept and sent later, and
// marks stay while the page is loaded again.

import { text } from "../layout/texts.js";
import { Api } from "../voting/api.js";
import { isCombined, nameOf } from "../voting/keys.js";
import { openStorage } from "../voting/queue.js";
import { describeRefused, Outbox } from "./outbox.js";
import { imageOf, Tile } from "./tile.js";

const KEYS = { 1: "left", 2: "center", 3: "right", u: "unsure" };
const KNOWN = [...Object.keys(KEYS), "z"];
const RETRY_MS = 3000;

class GridPage {
  #outbox;
  #signIn;
  #form = document.getElementById("grid");
  #said = document.getElementById("said");
  #confirm = document.getElementById("confirm");
  #called = this.#form.dataset.label;
  #sent = false;
  #leaving = false;
  #askedUndo = false;
  #delivery = Promise.resolve();
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
    document.getElementById("undo-form")?.addEventListener("submit", (event) => this.#onUndo(event));
    document.getElementById("choose").addEventListener("click", () => this.#outbox.dropDraft(this.#claim));
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
    if (key === "z") this.#undo(event);
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
    this.#outbox.draft(this.#claim, this.#answers((one) => one.touched));
    this.#tell();
  }

  /** Mark again what was marked before the page was loaded again. */
  #restore() {
    const marks = this.#outbox.drafted(this.#claim);
    for (const tile of this.#tiles) if (tile.imageId in marks) tile.set(marks[tile.imageId]);
  }

  /** @param {(tile: Tile) => boolean} [wanted] */
  #answers(wanted = () => true) {
    return Object.fromEntries(this.#tiles.filter(wanted).map((one) => [one.imageId, one.answer]));
  }

  #tell() {
    const changed = this.#tiles.filter((tile) => tile.changed).length;
    this.#said.textContent = changed === 0 ? "" : text("changed", { count: changed });
    this.#confirm.textContent = changed === 0
      ? text("confirm", { count: this.#tiles.length })
      : text("confirm-some", { same: this.#tiles.length - changed, changed });
  }

  /** Images that were not on the screen are not confirmed: the page scrolls to them first. */
  #onSubmit(event) {
    event.preventDefault();
    if (this.#sent) return;
    const unseen = this.#tiles.filter((tile) => !tile.seen);
    if (unseen.length === 0) return this.#send();
    this.#said.textContent = text("unseen", { count: unseen.length });
    unseen[0].button.scrollIntoView({ block: "start" });
    unseen[0].button.focus({ preventScroll: true });
  }

  /** Which images the page shows. */
  get #claim() {
    const { label, source, campaign_id: campaign } = this.#form.elements;
    return { label: label.value, source: source.value, campaign_id: Number(campaign.value) };
  }

  get #batch() {
    return this.#form.elements.batch.value;
  }

  #send() {
    const size = Number(this.#form.elements.size.value);
    this.#outbox.keep({ batch: this.#batch, ...this.#claim, size, answers: this.#answers() });
    this.#sent = true;
    this.#confirm.setAttribute("aria-disabled", "true");
    this.#deliver();
  }

  /** While a confirmed page waits, the site would undo the page before. */
  #onUndo(event) {
    if (!this.#outbox.waits()) return;
    event.preventDefault();
    this.#askedUndo = true;
    this.#say(text("undo-later"));
  }

  #undo(event) {
    const button = document.getElementById("undo");
    if (button) button.click();
    else this.#onUndo(event);
  }

  /** Send what is kept, after what is being sent. */
  #deliver() {
    this.#delivery = this.#delivery.then(() => this.#deliverNow());
  }

  /** Send what is kept, and go on to the next page. Without a connection try again later. */
  async #deliverNow() {
    if (this.#leaving || !this.#outbox.waits() && !this.#sent) return;
    clearTimeout(this.#timer);
    const { sent, stopped } = await this.#outbox.send();
    if (this.#sent && sent.has(this.#batch)) return this.#leave(sent.get(this.#batch));
    const refused = tellRefused(this.#outbox, this.#sent ? this.#batch : null);
    if (this.#sent && refused) return this.#giveBack(refused);
    if (stopped?.kind === "signed-out") return this.#askToSignIn(stopped.body.error.message);
    if (stopped) this.#waitFor(stopped);
    else if (this.#sent) this.#leave(location.href); // another tab has sent it
  }

  #waitFor({ offline }) {
    this.#timer = setTimeout(() => this.#deliver(), RETRY_MS);
    if (!this.#sent) return;
    const why = text(!this.#outbox.durable ? "not-kept" : offline ? "is-offline" : "is-busy");
    this.#say(this.#askedUndo ? `${why} ${text("undo-later")}` : why);
  }

  #leave(address) {
    this.#leaving = true;
    location.assign(address);
  }

  #say(words) {
    if (this.#said.textContent !== words) this.#said.textContent = words;
  }

  #askToSignIn(message) {
    this.#say(`${message} ${text("page-kept")} `);
    const link = { href: this.#signIn, textContent: text("sign-in") };
    this.#said.append(Object.assign(document.createElement("a"), link));
  }

  /** The server refused the whole page, so the person can change it. */
  #giveBack(message) {
    this.#sent = false;
    this.#confirm.removeAttribute("aria-disabled");
    this.#outbox.draft(this.#claim, this.#answers((one) => one.touched));
    this.#say(message);
  }
}

/** Where no images are shown: send what is kept, and let `z` undo the last page as well. */
function rest(outbox) {
  let timer = 0;
  const again = async () => {
    clearTimeout(timer);
    const { sent } = await outbox.send();
    if (sent.size > 0) return location.reload();
    tellRefused(outbox);
    clearTimeout(timer);
    if (outbox.waits()) timer = setTimeout(again, RETRY_MS);
  };
  for (const type of ["online", "focus"]) window.addEventListener(type, again);
  if (outbox.waits()) timer = setTimeout(again, RETRY_MS);
  document.getElementById("undo-form")?.addEventListener("submit", (event) => {
    if (!outbox.waits()) return;
    event.preventDefault();
    notify(text("undo-later"));
  });
  document.addEventListener("keydown", (event) => {
    const undo = document.getElementById("undo");
    if (isCombined(event) || event.repeat || !undo || nameOf(event, ["z"]) !== "z") return;
    undo.click();
    event.preventDefault();
  });
}

/**
 * Show which pages were refused. Return why that of `batch` was, instead of showing it.
 * @param {Outbox} outbox @param {?string} [batch] @returns {string | undefined}
 */
function tellRefused(outbox, batch = null) {
  const refused = outbox.takeRefused();
  const others = refused.filter(({ page }) => page.batch !== batch);
  if (others.length > 0) notify(describeRefused(others));
  return refused.find(({ page }) => page.batch === batch)?.refused;
}

/** Show a message above the page. @param {string} words */
function notify(words) {
  const main = document.getElementById("main");
  if ([...main.querySelectorAll(".message")].some((one) => one.textContent === words)) return;
  const box = Object.assign(document.createElement("div"), { className: "message error" });
  box.setAttribute("role", "alert");
  box.append(Object.assign(document.createElement("p"), { textContent: words }));
  main.prepend(box);
}

/** Take away the images that were answered on a page that waits. @returns {boolean} whether some are left */
function hideAnswered(outbox) {
  const form = document.getElementById("grid");
  if (!form) return false;
  const campaign = Number(form.elements.campaign_id.value);
  for (const label of form.querySelectorAll("label.tile")) {
    if (outbox.answers(campaign, imageOf(label))) label.closest("li").remove();
  }
  if (form.querySelector("label.tile")) return true;
  for (const id of ["how", "confirm"]) document.getElementById(id).hidden = true;
  notify(text("all-answered"));
  return false;
}

/** Send pages that an earlier visit has left, then show what is open now. */
async function start() {
  const data = JSON.parse(document.getElementById("grid-data").textContent);
  const { storage, durable } = openStorage();
  const outbox = new Outbox({ ...data, api: new Api(data), storage, durable });
  const { sent } = await outbox.send();
  if (sent.size > 0) return location.reload();
  tellRefused(outbox);
  if (!durable) notify(text("no-storage"));
  if (hideAnswered(outbox)) new GridPage(outbox, data.addresses.signIn);
  else rest(outbox);
}

// After "back" these images are answered already, so the page is loaded again.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
void start();

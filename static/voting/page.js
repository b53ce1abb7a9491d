// The labelling page: it puts answers into the queue and shows the next image at once. Without this
// script the same forms post to the same addresses.

import { Api } from "./api.js";
import { FlagDialog } from "./flag.js";
import { text } from "../layout/texts.js";
import { isCombined, nameOf } from "./keys.js";
import { Feed, keyOf, load } from "./prefetch.js";
import { openStorage, VoteQueue } from "./queue.js";
import { describeRefused, Outbox } from "../verification/outbox.js";
import { describe, View } from "./view.js";

const LATE_MS = 2000; // after so long the page says that a vote is waiting
const PROBE_MS = 5000; // how often the page tries whether the site can be reached again
const HISTORY = 20;
const KEYS = {
  ArrowLeft: "left", 1: "left",
  ArrowUp: "center", ArrowDown: "center", 2: "center",
  ArrowRight: "right", 3: "right",
  u: "unsure",
};
const KNOWN = [...Object.keys(KEYS), "z", "?", "f"];

class LabelPage {
  #data;
  #view = new View();
  #queue;
  #feed;
  #current = null;
  #shownAt = 0;
  /** @type {{requestId: ?string, voteId: ?number, answer: string, image: object}[]} */ #history;
  #answered = new Set();
  #changedAt = 0; // when the queue last changed
  #usedAt = Date.now(); // when the person was last active
  #progress;
  #uncertain; // whether the count may be wrong, because votes had not arrived when it was made
  #said = ""; // what to announce with the next image
  #probedAt = 0;
  #api;
  #flag; // the dialog
  #outbox; // pages of "Verify many images"

  constructor(data) {
    this.#data = data;
    const api = this.#api = new Api(data);
    const { storage, durable } = openStorage();
    this.#feed = new Feed({
      api,
      size: data.prefetch,
      isTaken: (image) => this.#isTaken(image),
      pending: () => this.#queue.pending().length,
    });
    const { site, annotatorId } = data;
    this.#queue = new VoteQueue({ site, annotatorId, api, storage, feed: this.#feed });
    this.#outbox = new Outbox({ site, annotatorId, api, storage, durable });
    this.#flag = new FlagDialog({ api, onFlagged: () => this.#view.tell(text("flagged")) });
    const waiting = this.#queue.pending();
    this.#uncertain = waiting.length > 0;
    this.#progress = waiting.reduce(
      (progress, { kind }) => moved(progress, kind === "vote" ? +1 : -1), data.progress,
    );
    this.#history = this.#recall(data.lastVote);
    for (const { image } of this.#history) this.#answered.add(keyOf(image));
    this.#listen();
    if (!durable) this.#view.notify(text("no-storage"));
  }

  start() {
    void this.#feed.fill({ renew: true });
    void this.#queue.drain();
    void this.#sendPages();
    this.#feed.idle = this.#data.idle;
    this.#feed.add(this.#data.images);
    this.#advance();
    this.#showState();
  }

  answer(answer) {
    if (this.#current?.state !== "ready") return;
    const elapsedMs = Math.round(performance.now() - this.#shownAt);
    const { image } = this.#current;
    this.#answered.add(keyOf(image));
    const { requestId } = this.#queue.addVote({ image, answer, elapsedMs });
    this.#history = [...this.#history, { requestId, voteId: null, answer, image }].slice(-HISTORY);
    this.#said = text("said", { answer: text(answer) });
    this.#count(+1);
    this.#advance();
  }

  undo() {
    const last = this.#history.pop();
    if (!last) return;
    this.#queue.addUndo(last);
    this.#answered.delete(keyOf(last.image));
    this.#said = text("undone");
    if (this.#current) this.#feed.putBack(this.#current);
    this.#current = load({ ...last.image, expires_in_s: this.#data.leaseSeconds }, () => this.#refresh());
    this.#count(-1);
    this.#refresh();
  }

  #listen() {
    document.addEventListener("keydown", (event) => this.#onKey(event));
    document.getElementById("answers").addEventListener("submit", (event) => {
      event.preventDefault();
      this.answer(event.submitter.value);
    });
    document.getElementById("undo-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.undo();
    });
    document.getElementById("help-link").addEventListener("click", (event) => {
      event.preventDefault();
      document.getElementById("help").showModal();
    });
    document.getElementById("flag-link").addEventListener("click", (event) => {
      if (this.#askFlag()) event.preventDefault();
    });
    this.#feed.addEventListener("change", () => this.#refresh());
    this.#feed.addEventListener("leased", ({ detail }) => this.#learn(detail));
    this.#feed.addEventListener("refused", ({ detail }) => this.#complain(detail));
    this.#queue.addEventListener("change", () => this.#onQueueChange());
    this.#queue.addEventListener("signed-out", ({ detail }) => this.#askToSignIn(detail));
    this.#queue.addEventListener("refused", ({ detail }) => this.#onRefused(detail));
    this.#api.addEventListener("reach", () => this.#onReach());
    this.#api.addEventListener("accepted", () => this.#view.settle("sign-in"));
    window.addEventListener("offline", () => this.#api.reach("offline"));
    for (const type of ["online", "focus", "pageshow", "storage"]) {
      window.addEventListener(type, () => this.#wake());
    }
    for (const type of ["keydown", "pointerdown", "pointermove"]) {
      document.addEventListener(type, () => { this.#usedAt = Date.now(); }, { passive: true });
    }
    setInterval(() => { this.#showWaiting(); this.#probe(); }, 500);
    setInterval(() => this.#keepHold(), this.#data.leaseSeconds * 500);
  }

  #onKey(event) {
    const isTyping = event.target instanceof HTMLTextAreaElement;
    if (event.repeat || isCombined(event) || isTyping || document.querySelector("dialog[open]")) return;
    const key = nameOf(event, KNOWN);
    if (key in KEYS) this.answer(KEYS[key]);
    else if (key === "z") this.undo();
    else if (key === "?") document.getElementById("help").showModal();
    else if (key !== "f" || !this.#askFlag()) return;
    event.preventDefault();
  }

  /** Ask what is wrong with the image on the screen. @returns {boolean} whether there is one */
  #askFlag() {
    if (this.#current?.state !== "ready") return false;
    this.#flag.open(this.#current.image);
    return true;
  }

  /** Show the next image. If none is ready, the feed's event "change" shows it later. */
  #advance() {
    this.#current = this.#feed.take() ?? null;
    this.#refresh();
    void this.#feed.fill();
  }

  #refresh() {
    if (!this.#current || this.#current.state === "failed") this.#current = this.#feed.take() ?? null;
    if (this.#current?.state === "ready") this.#show(this.#current);
    else this.#showNothing();
  }

  #showNothing() {
    const idle = this.#current || this.#queue.pending().length > 0 ? null : this.#feed.idle;
    const shown = this.#view.showNothing(idle, this.#api.connection);
    if (this.#said && (idle || this.#api.connection !== "online")) this.#announce(shown);
  }

  /** Say what has happened and what is shown now, once for each image. */
  #announce(shown) {
    this.#view.announce(`${this.#said} ${shown}`.trim());
    this.#said = "";
  }

  #show(item) {
    if (item.element.isConnected) return;
    this.#view.show(item);
    this.#view.showCampaign(this.#data.campaigns[item.image.campaign_id]);
    const suggestion = describe(item.image.shown);
    const place = text("image", { number: this.#progress.votes + 1 });
    this.#announce(`${place} ${suggestion ? `${suggestion}.` : text("no-suggestion")}`);
    this.#shownAt = performance.now();
  }

  /** On the screen or answered. A lease may name an image whose vote has not arrived yet. */
  #isTaken(image) {
    const key = keyOf(image);
    return (this.#current && keyOf(this.#current.image) === key) || this.#answered.has(key);
  }

  /** Return what undo can take back after a reload: the server's last vote, then the queue. */
  #recall(lastVote) {
    const votes = lastVote ? [{ ...lastVote, requestId: null, voteId: lastVote.vote_id }] : [];
    for (const entry of this.#queue.pending()) {
      if (entry.kind === "vote") votes.push({ ...entry, voteId: null });
      else {
        const at = votes.findLastIndex((v) =>
          entry.requestId ? v.requestId === entry.requestId : v.voteId === entry.voteId);
        if (at >= 0) votes.splice(at, 1);
      }
    }
    return votes;
  }

  #onQueueChange() {
    this.#changedAt = performance.now();
    this.#showWaiting();
    if (this.#queue.pending().length === 0) void this.#feed.fill({ renew: this.#uncertain });
  }

  #onReach() {
    if (this.#api.connection === "online") void this.#sendPages();
    this.#showWaiting();
    if (this.#current?.state !== "ready") this.#showNothing();
  }

  /** Ask whether the site can be reached again, if no vote does so. */
  #probe() {
    if (this.#api.connection === "online" || this.#queue.pending().length > 0) return;
    if (performance.now() - this.#probedAt < PROBE_MS) return;
    this.#probedAt = performance.now();
    void this.#feed.fill({ renew: true });
  }

  /** Renew the leases while the person uses the page. */
  #keepHold() {
    const inUse = Date.now() - this.#usedAt < this.#data.leaseSeconds * 1000;
    if (inUse && document.visibilityState === "visible") void this.#feed.fill({ renew: true });
  }

  #onRefused({ entry, error }) {
    if (entry.kind === "undo") return this.#view.notify(text("undo-refused", { why: error.message }));
    const at = this.#history.findIndex((vote) => vote.requestId === entry.requestId);
    if (at < 0) return; // undone in the meantime, so nothing is lost
    this.#history.splice(at, 1);
    this.#answered.delete(keyOf(entry.image));
    this.#count(-1);
    this.#view.notify(text("refused", { why: error.message }));
  }

  #complain({ kind, body }) {
    if (kind === "signed-out") this.#askToSignIn(body.error);
    else this.#view.notify(body.error.message);
  }

  #askToSignIn(error) {
    const count = this.#queue.pending().length;
    const kept = count > 0 ? ` ${text("kept", { count })}` : "";
    const link = { href: this.#data.addresses.signIn, textContent: text("sign-in") };
    this.#view.notify(error.message + kept, { link, topic: "sign-in" });
  }

  /** Send what waits, because the connection or the person may be back. */
  #wake() {
    void this.#queue.drain();
    void this.#sendPages();
    void this.#feed.fill({ renew: this.#api.connection !== "online" });
    this.#showWaiting();
  }

  /** Send pages of "Verify many images" that wait, and tell which the site does not take. */
  async #sendPages() {
    await this.#outbox.send();
    const refused = this.#outbox.takeRefused();
    if (refused.length > 0) this.#view.notify(describeRefused(refused));
  }

  #count(step) {
    this.#progress = moved(this.#progress, step);
    this.#showState();
  }

  /** Show the server's count, unless a vote had not arrived yet when it counted. */
  #learn({ progress, askedAt }) {
    if (this.#queue.pending().length > 0) return;
    if (askedAt < this.#changedAt) {
      if (this.#uncertain) void this.#feed.fill({ renew: true });
      return;
    }
    this.#uncertain = false;
    this.#progress = progress;
    this.#showState();
  }

  #showState() {
    this.#view.showCount(this.#progress);
    this.#view.showLast(this.#history.at(-1)?.answer ?? null);
  }

  #showWaiting() {
    const pending = this.#queue.pending();
    const late = pending.length > 0 && Date.now() - pending[0].madeAt > LATE_MS;
    const { connection } = this.#api;
    this.#view.showWaiting(late || connection !== "online" ? pending.length : 0, connection);
  }
}

/** Return the count after a number of new votes. @param {number} step negative for votes undone */
function moved({ votes, left }, step) {
  return { votes: votes + step, left: left === null ? null : Math.max(left - step, 0) };
}

new LabelPage(JSON.parse(document.getElementById("label-data").textContent)).start();

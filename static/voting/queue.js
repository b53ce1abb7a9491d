// The local queue: an answer stays here until the server has accepted or refused it.
//
// Each entry has its own localStorage key, named by site, account and time. So tabs never overwrite
// each other's entries, nothing is sent under a wrong account or to another site of the same host,
// and a crash loses nothing. The tab that holds the lock sends the entries in order.
// docs/labelling.md describes the protocol.

const BACKOFF_MS = [500, 1000, 2000, 4000, 8000, 15_000, 30_000];
const REMEMBERED_ACKNOWLEDGEMENTS = 50;

/** Dispatches the events "change", "refused" ({entry, error}) and "signed-out" (error). */
export class VoteQueue extends EventTarget {
  #prefix;
  #acknowledgedKey;
  #api;
  #storage;
  #feed;
  #lastStamp = 0;
  #failures = 0;
  #timer = 0;
  #draining = false;

  /**
   * @param {{site: string, annotatorId: number, api: import("./api.js").Api, storage: Storage,
   *          feed: {expect: () => number, receive: (count: number, images: object[]) => void}}} options
   *   `site` is the path of the site, "" for none. `feed` says how many images to request with a
   *   vote, and receives them.
   */
  constructor({ site, annotatorId, api, storage, feed }) {
    super();
    const owner = site ? `${site}:${annotatorId}` : String(annotatorId); // a path has no colon
    this.#prefix = `sidelight.queue.${owner}.`;
    this.#acknowledgedKey = `sidelight.acknowledged.${owner}`;
    this.#api = api;
    this.#storage = storage;
    this.#feed = feed;
  }

  /** Return the entries that are not settled yet, oldest first. */
  pending() {
    const keys = [];
    for (let i = 0; i < this.#storage.length; i++) {
      const key = this.#storage.key(i);
      if (key.startsWith(this.#prefix)) keys.push(key);
    }
    return keys.sort().flatMap((key) => {
      const text = this.#storage.getItem(key);
      return text === null ? [] : [{ ...JSON.parse(text), key }];
    });
  }

  addVote({ image, answer, elapsedMs }) {
    return this.#add({ kind: "vote", requestId: newRequestId(), image, answer, elapsedMs });
  }

  /** Undo a vote that is still in the queue (`requestId`) or known to the server (`voteId`). */
  addUndo({ requestId = null, voteId = null }) {
    return this.#add({ kind: "undo", requestId, voteId });
  }

  /** Send all entries. It is safe to call this at any time and from any tab. */
  async drain() {
    if (this.#draining) return;
    this.#draining = true;
    clearTimeout(this.#timer);
    await withLock(`${this.#prefix}sender`, async (alone) => {
      try {
        await this.#sendAll(alone);
      } finally {
        this.#draining = false; // before the lock is released, so that later entries start a new drain
      }
    });
  }

  #add(entry) {
    this.#lastStamp = Math.max(Date.now(), this.#lastStamp + 1, this.#newestStamp() + 1);
    const stamp = String(this.#lastStamp).padStart(15, "0");
    const stored = { ...entry, madeAt: Date.now(), attempted: false };
    this.#storage.setItem(`${this.#prefix}${stamp}.${newRequestId()}`, JSON.stringify(stored));
    this.#announce("change");
    void this.drain();
    return stored;
  }

  #newestStamp() {
    const newest = this.pending().at(-1);
    return newest ? Number(newest.key.slice(this.#prefix.length).split(".")[0]) : 0;
  }

  async #sendAll(alone) {
    for (let entries = this.pending(); entries.length > 0; entries = this.pending()) {
      const [head] = entries;
      if (alone && this.#cancelled(head, entries)) continue;
      const outcome = await this.#send(head);
      if (outcome.kind === "retry") return this.#retryLater();
      if (outcome.kind === "signed-out") return this.#announce("signed-out", outcome.body.error);
      this.#failures = 0;
      this.#settle(head, outcome);
    }
  }

  /** Remove a vote that was undone before it was sent. */
  #cancelled(head, entries) {
    if (head.kind !== "vote" || head.attempted) return false;
    const undo = entries.find((e) => e.kind === "undo" && e.requestId === head.requestId);
    if (!undo) return false;
    this.#remove(head, undo);
    return true;
  }

  #send(entry) {
    if (entry.kind === "vote") {
      const { key, ...stored } = entry;
      this.#storage.setItem(key, JSON.stringify({ ...stored, attempted: true }));
      return this.#sendVote(entry);
    }
    const voteId = entry.voteId ?? this.#voteIdOf(entry.requestId);
    // The vote was refused, so there is nothing to undo.
    if (voteId === null) return { kind: "done", status: 0, body: null };
    return this.#api.undo(voteId);
  }

  async #sendVote(entry) {
    const count = this.#feed.expect();
    const outcome = await this.#api.vote(entry, count);
    this.#feed.receive(count, outcome.kind === "done" ? outcome.body.images : null);
    return outcome;
  }

  #settle(entry, outcome) {
    if (entry.kind === "vote" && outcome.kind === "done") {
      this.#remember(entry.requestId, outcome.body.vote.id);
    }
    this.#remove(entry);
    if (outcome.kind === "refused") this.#announce("refused", { entry, error: outcome.body.error });
  }

  #remove(...entries) {
    for (const entry of entries) this.#storage.removeItem(entry.key);
    this.#announce("change");
  }

  #acknowledged() {
    return JSON.parse(this.#storage.getItem(this.#acknowledgedKey) ?? "[]");
  }

  #remember(requestId, voteId) {
    const kept = [...this.#acknowledged(), [requestId, voteId]].slice(-REMEMBERED_ACKNOWLEDGEMENTS);
    this.#storage.setItem(this.#acknowledgedKey, JSON.stringify(kept));
  }

  #voteIdOf(requestId) {
    return this.#acknowledged().find(([known]) => known === requestId)?.[1] ?? null;
  }

  #retryLater() {
    const wait = BACKOFF_MS[Math.min(this.#failures++, BACKOFF_MS.length - 1)];
    this.#timer = setTimeout(() => void this.drain(), wait * (0.75 + Math.random() / 2));
    this.#announce("change");
  }

  #announce(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Run `work(alone)` while no other tab does. Without locks (on http) `alone` is false. */
export function withLock(name, work) {
  return navigator.locks ? navigator.locks.request(name, () => work(true)) : work(false);
}

/** Return a random UUID, also on http, where `crypto.randomUUID` does not exist. */
export function newRequestId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Return localStorage, or a substitute in memory if the browser forbids it. */
export function openStorage() {
  try {
    localStorage.setItem("sidelight.probe", "1");
    localStorage.removeItem("sidelight.probe");
    return { storage: localStorage, durable: true };
  } catch {
    return { storage: new MemoryStorage(), durable: false };
  }
}

class MemoryStorage {
  #items = new Map();
  get length() { return this.#items.size; }
  key(index) { return [...this.#items.keys()][index] ?? null; }
  getItem(key) { return this.#items.get(key) ?? null; }
  setItem(key, text) { this.#items.set(key, text); }
  removeItem(key) { this.#items.delete(key); }
}

// Pictures leased ahead and decoded, so that the next one stands there at the key press.

const RETRY_MS = 1500;
const MAX_TRIES = 4;

/**
 * @typedef {{image_id: number, url: string, width: number, height: number, mirrored: boolean,
 *            shown: {label: string, probability: ?number} | null, expires_in_s: number}} Picture
 * @typedef {{image: Picture, element: HTMLImageElement, state: "loading" | "ready" | "failed",
 *            deadline: number}} Item
 */

export class Feed extends EventTarget {
  #api;
  #size;
  #isTaken;
  #pending;
  /** @type {Item[]} */ #items = [];
  #filling = false;
  #extra = 0;
  #timer = 0;
  #coming = 0; // asked for already
  #dry = false; // the server gave fewer than it was asked for
  /** Why the server has nothing more for this person; null: it may have. */ idle = null;

  /**
   * @param {{api: import("./api.js").Api, size: number, isTaken: (imageId: number) => boolean,
   *          pending: () => number}} options
   *   `isTaken` names pictures that are on the screen or answered; `pending` tells how many answers
   *   the server does not know yet.
   */
  constructor({ api, size, isTaken, pending }) {
    super();
    this.#api = api;
    this.#size = size;
    this.#isTaken = isTaken;
    this.#pending = pending;
  }

  /** The next picture: the first decoded one, else the first still loading, else undefined. */
  take() {
    const now = Date.now();
    this.#items = this.#items.filter((item) => item.state !== "failed" && item.deadline > now);
    const ready = this.#items.findIndex((item) => item.state === "ready");
    const [item] = this.#items.splice(Math.max(ready, 0), 1);
    return item;
  }

  /** A picture that was on the screen is to come again next. @param {Item} item */
  putBack(item) {
    this.#items.unshift(item);
  }

  /** Take in leased pictures, renew those that are here, pass over answered ones; how many are new. */
  add(images) {
    const here = new Map(this.#items.map((item) => [item.image.image_id, item]));
    for (const image of images) {
      const item = here.get(image.image_id);
      if (item) item.deadline = deadlineOf(image);
    }
    const fresh = images.filter(({ image_id: id }) => !here.has(id) && !this.#isTaken(id));
    for (const image of fresh) this.#items.push(load(image, () => this.#announce("change")));
    return fresh.length;
  }

  /** How many pictures are missing that nobody has asked for; a vote asks, `receive` follows. */
  expect() {
    const count = Math.max(0, this.#size - this.#items.length - this.#coming);
    this.#coming += count;
    return count;
  }

  /** Take what a vote brought that asked for `count`; `images` null: it was not taken. */
  receive(count, images) {
    this.#coming -= count;
    if (!images) return;
    this.#dry = images.length < count;
    if (this.add(images) > 0) this.idle = null;
    this.#announce("change");
  }

  /**
   * Lease more when few are left, and votes on their way bring none; while the server is away, try
   * again from time to time. With `renew` in any case: what is held already is held for longer.
   */
  async fill({ renew = false } = {}) {
    if (this.#filling || !(renew || this.#isLow())) return;
    this.#filling = true;
    clearTimeout(this.#timer);
    // The server names the pictures in this person's hands first, so these are asked for as well:
    // those in store, the one on the screen, those whose answers are on their way.
    const count = this.#size + 1 + this.#pending() + this.#extra;
    const askedAt = performance.now();
    const expected = this.expect();
    const outcome = await this.#api.lease(count);
    this.#coming -= expected;
    this.#filling = false;
    if (outcome.kind === "done") this.#accept(outcome.body, count, askedAt);
    else if (outcome.kind === "retry") this.#timer = setTimeout(() => void this.fill(), RETRY_MS);
    else this.#announce("refused", outcome);
  }

  #isLow() {
    const few = this.#dry ? 0 : this.#size / 2;
    return this.#pending() === 0 && this.#items.length <= few;
  }

  #accept({ images, progress, idle }, count, askedAt) {
    const fresh = this.add(images);
    const none = fresh === 0 && this.#items.length === 0;
    this.#dry = images.length < count;
    this.idle = none ? idle : null;
    this.#announce("leased", { progress, askedAt });
    this.#announce("change");
    // All that came is answered here already or could not be loaded: look behind it.
    this.#extra = none && !this.#dry ? this.#extra + this.#size : 0;
    if (this.#extra > 0) this.#timer = setTimeout(() => void this.fill(), RETRY_MS);
  }

  #announce(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Start loading a picture; `onChange` is called when it is ready or has failed. @returns {Item} */
export function load(image, onChange) {
  const element = new Image(image.width, image.height);
  element.alt = "Face to judge";
  element.classList.toggle("mirrored", image.mirrored);
  const item = { image, element, state: "loading", deadline: deadlineOf(image) };
  void decode(item).then(onChange);
  return item;
}

/** By this computer's own clock, which may differ from the server's. */
function deadlineOf(image) {
  return Date.now() + image.expires_in_s * 1000;
}

async function decode(item) {
  for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
    item.element.src = item.image.url;
    try {
      await item.element.decode();
      item.state = "ready";
      return;
    } catch {
      item.element.removeAttribute("src");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * attempt));
    }
  }
  item.state = "failed";
}

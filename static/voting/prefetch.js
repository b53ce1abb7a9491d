// Lease and decode images in advance, so that the next one is shown at once.

import { text } from "../layout/texts.js";

const RETRY_MS = 1500;
const MAX_TRIES = 4;

/**
 * @typedef {{campaign_id: number, image_id: number, url: string, width: number, height: number, mirrored: boolean,
 *            shown: {label: string, probability: ?number} | null, expires_in_s: number}} PageImage
 * @typedef {{image: PageImage, element: HTMLImageElement, state: "loading" | "ready" | "failed",
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
  #coming = 0; // requested, but not here yet
  #dry = false; // the server returned fewer than requested
  /** Why the server has no more images for this person; null: it may have some. */ idle = null;

  /**
   * @param {{api: import("./api.js").Api, size: number, isTaken: (image: PageImage) => boolean,
   *          pending: () => number}} options
   *   `isTaken`: whether an image is on the screen or answered. `pending`: how many answers the
   *   server does not know yet.
   */
  constructor({ api, size, isTaken, pending }) {
    super();
    this.#api = api;
    this.#size = size;
    this.#isTaken = isTaken;
    this.#pending = pending;
  }

  /** Return the next image: the first decoded one, else the first that is loading. */
  take() {
    const now = Date.now();
    this.#items = this.#items.filter((item) => item.state !== "failed" && item.deadline > now);
    const ready = this.#items.findIndex((item) => item.state === "ready");
    const [item] = this.#items.splice(Math.max(ready, 0), 1);
    return item;
  }

  /** Show an image again next that was on the screen. @param {Item} item */
  putBack(item) {
    this.#items.unshift(item);
  }

  /** Add leased images, renew known ones, skip answered ones. Returns how many are new. */
  add(images) {
    const here = new Map(this.#items.map((item) => [keyOf(item.image), item]));
    for (const image of images) {
      const item = here.get(keyOf(image));
      if (item) item.deadline = deadlineOf(image);
    }
    const fresh = images.filter((image) => !here.has(keyOf(image)) && !this.#isTaken(image));
    for (const image of fresh) this.#items.push(load(image, () => this.#announce("change")));
    return fresh.length;
  }

  /** Return how many images to request with a vote; `receive` gets the result. */
  expect() {
    const count = Math.max(0, this.#size - this.#items.length - this.#coming);
    this.#coming += count;
    return count;
  }

  /** Receive the images of a vote that requested `count`. `images` null: the vote failed. */
  receive(count, images) {
    this.#coming -= count;
    if (!images) return;
    this.#dry = images.length < count;
    if (this.add(images) > 0) this.idle = null;
    this.#announce("change");
  }

  /**
   * Lease more images if few are left and no vote on its way brings some. If the server does not
   * respond, try again later. With `renew` lease in any case, which renews the leases.
   */
  async fill({ renew = false } = {}) {
    if (this.#filling || !(renew || this.#isLow())) return;
    this.#filling = true;
    clearTimeout(this.#timer);
    // The server returns images that the person already holds first, so the number includes them:
    // prefetched images, the one on the screen, and those whose answers are on their way.
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
    // All images were answered already or could not be loaded: request more than these.
    this.#extra = none && !this.#dry ? this.#extra + this.#size : 0;
    if (this.#extra > 0) this.#timer = setTimeout(() => void this.fill(), RETRY_MS);
  }

  #announce(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Name an image within its campaign: another campaign may assign the same image. */
export function keyOf({ campaign_id: campaign, image_id: image }) {
  return `${campaign}.${image}`;
}

/** Start to load an image. `onChange` is called when it is ready or failed. @returns {Item} */
export function load(image, onChange) {
  const element = new Image(image.width, image.height);
  element.alt = text("face");
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

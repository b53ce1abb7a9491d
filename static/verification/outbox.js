// Pages of the grid that the server has not confirmed yet, and the marks on the page in hand.
//
// A confirmed page stays in localStorage until the server has stored it, as votes do
// (voting/queue.js). One that the server refuses stays until the person was told. The name of its
// batch makes it harmless to send a page twice.

import { text } from "../layout/texts.js";
import { withLock } from "../voting/queue.js";

/**
 * @typedef {{batch: string, label: string, source: string, size: number, campaign_id: number,
 *            answers: Record<string, string>}} GridAnswers
 * @typedef {{campaign_id: number, label: string, source: string}} Claim which images a page shows
 * @typedef {{key: string, page: GridAnswers, refused: ?string}} Entry `refused`: why, if it was
 */

export class Outbox {
  #prefix;
  #draftPrefix;
  #api;
  #storage;
  #unstored = new Map(); // pages that the storage has no room for, by key
  #durable;

  /**
   * @param {{site: string, annotatorId: number, api: import("../voting/api.js").Api,
   *          storage: Storage, durable: boolean}} options
   *   `durable`: whether `storage` outlives the page
   */
  constructor({ site, annotatorId, api, storage, durable }) {
    const owner = site ? `${site}:${annotatorId}` : String(annotatorId); // as in voting/queue.js
    this.#prefix = `sidelight.grid.${owner}.`;
    this.#draftPrefix = `sidelight.marks.${owner}.`;
    this.#api = api;
    this.#storage = storage;
    this.#durable = durable;
  }

  /** Whether all pages that are kept outlive this one. */
  get durable() {
    return this.#durable && this.#unstored.size === 0;
  }

  /** Keep a page until it is sent. @param {GridAnswers} page */
  keep(page) {
    this.#store(`${this.#prefix}${this.#stamp()}.${page.batch}`, { page, refused: null });
    this.dropDraft(page);
  }

  /**
   * Send all pages that are kept, oldest first.
   * @returns {Promise<{sent: Map<string, string>, stopped: ?import("../voting/api.js").Outcome}>}
   *   `sent`: by batch, the address of the page that follows. `stopped`: why a page could not be sent
   */
  send() {
    return withLock(`${this.#prefix}sender`, async () => {
      const sent = new Map();
      for (const { key, page } of this.#waiting()) {
        const outcome = await this.#api.confirm(page);
        if (outcome.kind === "retry" || outcome.kind === "signed-out") return { sent, stopped: outcome };
        if (outcome.kind === "done") {
          this.#remove(key);
          sent.set(page.batch, outcome.body.next);
        } else this.#store(key, { page, refused: outcome.body.error.message });
      }
      return { sent, stopped: null };
    });
  }

  /** Whether a page waits to be sent. @returns {boolean} */
  waits() {
    return this.#waiting().length > 0;
  }

  /** Whether a page that waits answers an image. @param {number} campaignId @param {string} imageId */
  answers(campaignId, imageId) {
    return this.#waiting().some(({ page }) => page.campaign_id === campaignId && imageId in page.answers);
  }

  /** Remove the pages that the server has refused, to tell the person. @returns {Entry[]} */
  takeRefused() {
    const refused = this.#entries().filter((entry) => entry.refused !== null);
    for (const { key } of refused) this.#remove(key);
    return refused;
  }

  /** Keep the marks of the page in hand. @param {Claim} claim @param {Record<string, string>} answers by image */
  draft(claim, answers) {
    try {
      this.#storage.setItem(this.#draftKey(claim), JSON.stringify(answers));
    } catch {
      // No room: the marks are only on the page.
    }
  }

  /** Return the marks that were kept. @param {Claim} claim @returns {Record<string, string>} */
  drafted(claim) {
    return JSON.parse(this.#storage.getItem(this.#draftKey(claim)) ?? "{}");
  }

  /** @param {Claim} claim */
  dropDraft(claim) {
    this.#storage.removeItem(this.#draftKey(claim));
  }

  #draftKey({ campaign_id: campaign, label, source }) {
    return `${this.#draftPrefix}${campaign}.${label}.${source}`;
  }

  /** Return a time later than that of every page that is kept. */
  #stamp() {
    const newest = this.#entries().at(-1)?.key.slice(this.#prefix.length).split(".")[0] ?? "0";
    return String(Math.max(Date.now(), Number(newest) + 1)).padStart(15, "0");
  }

  #waiting() {
    return this.#entries().filter(({ refused }) => refused === null);
  }

  /** @returns {Entry[]} oldest first */
  #entries() {
    const stored = Array.from({ length: this.#storage.length }, (_, at) => this.#storage.key(at));
    const keys = [...stored.filter((key) => key.startsWith(this.#prefix)), ...this.#unstored.keys()];
    return [...new Set(keys)].sort().flatMap((key) => {
      const entry = this.#unstored.get(key) ?? JSON.parse(this.#storage.getItem(key) ?? "null");
      return entry?.page ? [{ key, ...entry }] : []; // else another tab has sent it
    });
  }

  #store(key, entry) {
    try {
      this.#storage.setItem(key, JSON.stringify(entry));
    } catch {
      this.#unstored.set(key, entry);
    }
  }

  #remove(key) {
    this.#storage.removeItem(key);
    this.#unstored.delete(key);
  }
}

/** Say that pages were refused. @param {Entry[]} refused one at least */
export function describeRefused(refused) {
  const why = [...new Set(refused.map((entry) => entry.refused))].join(" ");
  const count = refused.reduce((sum, { page }) => sum + Object.keys(page.answers).length, 0);
  return text("pages-refused", { count, why });
}

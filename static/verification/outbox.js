// Pages of the grid that the server has not confirmed yet, and the marks on the page in hand.
//
// A confirmed page stays in localStorage until the server has stored or refused it, as votes do
// (voting/queue.js). The name of its batch makes it harmless to send a page twice.

/**
 * @typedef {{batch: string, label: string, source: string, size: number, campaign_id: number,
 *            answers: Record<string, string>}} GridAnswers
 */

export class Outbox {
  #prefix;
  #draftKey;
  #api;
  #storage;

  /**
   * @param {{site: string, annotatorId: number, api: import("../voting/api.js").Api,
   *          storage: Storage}} options
   */
  constructor({ site, annotatorId, api, storage }) {
    const owner = site ? `${site}:${annotatorId}` : String(annotatorId); // as in voting/queue.js
    this.#prefix = `sidelight.grid.${owner}.`;
    this.#draftKey = `sidelight.marks.${owner}`;
    this.#api = api;
    this.#storage = storage;
  }

  /** Keep a page until it is sent. @param {GridAnswers} page */
  keep(page) {
    this.#storage.setItem(this.#prefix + page.batch, JSON.stringify(page));
    this.#storage.removeItem(this.#draftKey);
  }

  /**
   * Send all pages that are kept.
   * @returns {Promise<import("../voting/api.js").Outcome | null>} that of the page that could not be
   *   sent, else that of the last one; null if there is none
   */
  async send() {
    let last = null;
    for (const key of this.#keys()) {
      const page = JSON.parse(this.#storage.getItem(key) ?? "null");
      if (!page) continue; // another tab has sent it
      last = await this.#api.confirm(page);
      if (last.kind === "retry" || last.kind === "signed-out") return last;
      this.#storage.removeItem(key);
    }
    return last;
  }

  /** Keep the marks of the page in hand. @param {Record<string, string>} answers by image */
  draft(answers) {
    this.#storage.setItem(this.#draftKey, JSON.stringify(answers));
  }

  /** Return the marks that were kept. @returns {Record<string, string>} */
  drafted() {
    return JSON.parse(this.#storage.getItem(this.#draftKey) ?? "{}");
  }

  #keys() {
    const keys = Array.from({ length: this.#storage.length }, (_, at) => this.#storage.key(at));
    return keys.filter((key) => key.startsWith(this.#prefix)).sort();
  }
}

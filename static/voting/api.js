// The requests to the server. Each returns an Outcome and never throws. Only responses in the JSON
// format of this site count, so that the "200 OK" of a Wi-Fi login page does not.

const TIMEOUT_MS = 10_000;

/**
 * @typedef {"done" | "refused" | "signed-out" | "retry"} Kind
 * @typedef {{kind: Kind, status: number, body: any, offline?: boolean}} Outcome `offline`: whether
 *   the site was not reached at all
 * @typedef {"online" | "busy" | "offline"} Connection
 */

/**
 * Dispatches "reach" when the connection changes, and "accepted" when the site has done what was asked.
 */
export class Api extends EventTarget {
  /** What came of the last request. @type {Connection} */
  connection = navigator.onLine ? "online" : "offline";
  #addresses;
  #annotatorId;
  #csrfToken;

  /** @param {{addresses: Record<string, string>, annotatorId: number, csrfToken: string}} options */
  constructor({ addresses, annotatorId, csrfToken }) {
    super();
    this.#addresses = addresses;
    this.#annotatorId = annotatorId;
    this.#csrfToken = csrfToken;
  }

  /** Lease the next images. @param {number} count */
  lease(count) {
    return this.#write(this.#addresses.leases, { count });
  }

  /** Send an answer, and lease more images with it. @param {number} then how many */
  vote(entry, then) {
    return this.#write(this.#addresses.votes, {
      campaign_id: entry.image.campaign_id, // another one may be active by now
      image_id: entry.image.image_id,
      answer: entry.answer,
      request_id: entry.requestId,
      elapsed_ms: entry.elapsedMs,
      then,
    });
  }

  /** Store a page of the grid. @param {object} page see `Outbox` */
  confirm(page) {
    return this.#write(this.#addresses.confirm, page);
  }

  /** Flag an image. @param {string} reason a code @param {string} note */
  flag(image, reason, note) {
    const { campaign_id, image_id } = image;
    return this.#write(this.#addresses.flags, { campaign_id, image_id, reason, note });
  }

  undo(voteId) {
    return this.#write(this.#addresses.undo.replace("/0/", `/${voteId}/`), {});
  }

  /** Send a write. If the CSRF token is out of date, get a new one and send it again. */
  async #write(address, body) {
    const outcome = await this.#post(address, body);
    if (outcome.body?.error?.code !== "csrf_failed") return outcome;
    const state = await this.#request(this.#addresses.state, { headers: this.#headers() });
    if (state.kind !== "done") return state;
    this.#csrfToken = state.body.csrf_token;
    const again = await this.#post(address, body);
    return again.body?.error?.code === "csrf_failed" ? { ...again, kind: "retry" } : again;
  }

  #post(address, body) {
    const headers = { ...this.#headers(), "Content-Type": "application/json" };
    return this.#request(address, { method: "POST", headers, body: JSON.stringify(body) });
  }

  #headers() {
    return {
      Accept: "application/json",
      "X-CSRFToken": this.#csrfToken,
      // The server refuses (401) if another person is signed in by now.
      "X-Annotator": String(this.#annotatorId),
    };
  }

  /** Note how the site can be reached. @param {Connection} connection */
  reach(connection) {
    if (connection === this.connection) return;
    this.connection = connection;
    this.dispatchEvent(new CustomEvent("reach"));
  }

  async #request(address, options) {
    const outcome = await this.#ask(address, options);
    this.reach(outcome.kind !== "retry" ? "online" : outcome.offline ? "offline" : "busy");
    if (outcome.kind === "done") this.dispatchEvent(new CustomEvent("accepted"));
    return outcome;
  }

  async #ask(address, options) {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
    try {
      const response = await fetch(address, {
        ...options, signal: abort.signal, credentials: "same-origin", redirect: "manual",
      });
      const body = await response.json().catch(() => null);
      abort.signal.throwIfAborted();
      return judge(response.status, body);
    } catch {
      return { kind: "retry", status: 0, body: null, offline: !abort.signal.aborted };
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Say what a status means for the queue. @returns {Outcome} */
function judge(status, body) {
  const ours = typeof body?.ok === "boolean";
  if (status >= 500 || status === 408 || status === 429) return { kind: "retry", status, body, offline: false };
  if (!ours) return { kind: "retry", status, body, offline: true }; // a login page of the Wi-Fi answered
  if (status === 401) return { kind: "signed-out", status, body };
  return { kind: body.ok ? "done" : "refused", status, body };
}

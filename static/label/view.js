// What is on the screen. Knows nothing of queues and servers.

const WAITING = "The next picture is on its way.";

export class View {
  #stage = document.getElementById("stage");
  #hint = document.getElementById("hint");
  #count = document.getElementById("count");
  #connection = document.getElementById("connection");
  #last = document.getElementById("last");
  #notice = document.getElementById("notice");
  #undo = document.getElementById("undo");
  #finished = document.getElementById("finished");
  #image = null;

  constructor() {
    new ResizeObserver(() => this.#fit()).observe(this.#stage);
    document.getElementById("notice-close").addEventListener("click", () => this.dismiss());
  }

  /** Put a decoded picture on the stage. @param {import("./prefetch.js").Item} item */
  show(item) {
    this.#image = item;
    this.#fit();
    this.#stage.replaceChildren(item.element);
    this.#hint.textContent = describe(item.image.shown);
    this.#offer(true);
  }

  /** No picture is ready: either more will come (`exhausted` false) or all are answered. */
  showNothing(exhausted) {
    this.#image = null;
    this.#hint.textContent = "";
    this.#stage.replaceChildren(exhausted ? this.#finished.content.cloneNode(true) : paragraph(WAITING));
    this.#offer(false);
  }

  showCount({ votes, left }) {
    this.#count.textContent = left === null ? `${votes} answered` : `${votes} answered, ${left} to go`;
  }

  showWaiting(count) {
    const text = count === 1 ? "1 vote waiting to be sent" : `${count} votes waiting to be sent`;
    const shown = count === 0 ? "" : text;
    if (this.#connection.textContent !== shown) this.#connection.textContent = shown;
  }

  /** What was answered last; null when there is nothing to undo. */
  showLast(answer) {
    this.#undo.disabled = answer === null;
    this.#last.textContent = answer === null ? "" : `Last answer: ${answer}`;
  }

  /** A message that stays until it is closed. */
  notify(text, link = null) {
    const [body] = this.#notice.getElementsByTagName("p");
    body.textContent = `${text} `;
    if (link) body.append(Object.assign(document.createElement("a"), link));
    this.#notice.hidden = false;
  }

  dismiss() {
    this.#notice.hidden = true;
  }

  #offer(possible) {
    for (const button of document.querySelectorAll("button[name=answer]")) button.disabled = !possible;
  }

  /** Scale by a whole factor: pixels of the file become equal squares, none is favoured. */
  #fit() {
    if (!this.#image) return;
    const { image, element } = this.#image;
    const fit = Math.min(this.#stage.clientWidth / image.width, this.#stage.clientHeight / image.height);
    const factor = fit >= 1 ? Math.floor(fit) : 1 / Math.ceil(1 / Math.max(fit, 0.01));
    element.width = Math.round(image.width * factor);
    element.height = Math.round(image.height * factor);
  }
}

function describe(shown) {
  if (!shown) return "";
  return `Suggestion: ${shown.label} (${Math.round(shown.probability * 100)} %)`;
}

function paragraph(text) {
  return Object.assign(document.createElement("p"), { textContent: text });
}

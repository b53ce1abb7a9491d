// An image of the grid: a button that shows its answer in words.

import { text } from "../layout/texts.js";

const NEXT = {
  left: ["left", "center", "right", "unsure"],
  center: ["center", "left", "right", "unsure"],
  right: ["right", "center", "left", "unsure"],
};

export class Tile {
  seen = false;
  touched = false; // whether the person has chosen the answer

  /** @param {HTMLElement} label @param {number} number @param {number} count @param {string} called */
  constructor(label, number, count, called) {
    this.called = called;
    this.select = label.querySelector("select");
    this.imageId = imageOf(label);
    this.button = document.createElement("button");
    this.word = document.createElement("span");
    this.name = text("tile", { number, count });
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
    this.touched = true;
    this.select.value = answer;
    this.show();
  }

  cycle() {
    const round = NEXT[this.called];
    this.set(round[(round.indexOf(this.answer) + 1) % round.length]);
  }

  show() {
    const answer = text(this.answer);
    this.word.textContent = this.changed ? text("not", { called: text(this.called), answer }) : answer;
    this.button.classList.toggle("changed", this.changed);
    this.button.setAttribute("aria-label", `${this.name}: ${this.word.textContent}`);
  }
}

/** Return the number of an image. @param {HTMLElement} label @returns {string} */
export function imageOf(label) {
  return label.querySelector("select").name.replace("answer-", "");
}

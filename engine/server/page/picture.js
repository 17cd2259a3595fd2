// One frame as it comes into being: a picture that gets better, and small ones of what it was before.

import { make } from "./dom.js";

const FINISHED = 1000; // rank of the finished picture: after the draft (0) and every estimate (1, 2, ...)

export class Picture {
  // `label` says which column of the page it is in.
  constructor(number, label) {
    this.number = number;
    this.label = label;
    this.best = -1; // rank of the best picture that has arrived
    this.steps = new Map(); // rank -> its small picture's button
    this.image = make("img", { alt: "", class: "shown", hidden: true, draggable: "false" });
    this.note = make("span", { class: "note" });
    this.strip = make("div", { class: "strip", role: "group", "aria-label": `Pictures of frame ${number}, ${label}` });
    this.element = make("div", { class: "picture", "data-stage": "waiting" },
      make("p", { class: "column", text: label }), make("div", { class: "paper" }, this.image, this.note), this.strip);
  }

  stage(name, note = "") {
    this.element.dataset.stage = name;
    this.note.textContent = note;
  }

  draft(url) {
    return this.add(0, url, "draft", "draft", "correcting");
  }

  // `step` is that of the correction, from 0.
  estimate(number, step, url) {
    return this.add(number, url, "estimate", `step ${step + 1}`, "correcting");
  }

  finish(url, corrected) {
    return this.add(FINISHED, url, corrected ? "corrected" : "plain", corrected ? "corrected" : "drawn", "");
  }

  // Loads the picture first, so that the one before it stays until the better one can be shown.
  async add(rank, url, stage, name, note) {
    if (this.steps.has(rank)) return;
    const small = make("img", { alt: "", src: url, draggable: "false" });
    const button = make("button", { type: "button", "aria-pressed": "false", "data-rank": rank,
      onclick: () => this.show(rank, url, name) }, small, make("span", { text: name }));
    this.steps.set(rank, button);
    const later = [...this.steps.keys()].filter((other) => other > rank).sort((a, b) => a - b)[0];
    this.strip.insertBefore(button, later === undefined ? null : this.steps.get(later));
    try {
      await small.decode();
    } catch {
      button.classList.add("missing");
      return;
    }
    if (rank <= this.best) return;
    this.best = rank;
    this.stage(stage, note);
    this.show(rank, url, name);
  }

  show(rank, url, name) {
    this.image.src = url;
    this.image.hidden = false;
    this.image.alt = `Frame ${this.number}, ${name}, ${this.label}`;
    for (const [other, button] of this.steps) button.setAttribute("aria-pressed", String(other === rank));
  }
}

// One story: its frames, what can be done with it, and the same story without correction next to it.

import { make, plural } from "./dom.js";
import { api, storyPath } from "./api.js";
import { Frames, OVER } from "./frames.js";
import { Sheet } from "./sheet.js";

const WORDS = { queued: "in the queue", running: "being drawn", waiting: "waits for your next sentence",
  done: "finished", failed: "failed", cancelled: "cancelled" };
const CORRECTED = "with correction";
const PLAIN = "without correction";

export class StoryView {
  // `go` has open(id, against) and away().
  constructor(root, story, against, go) {
    Object.assign(this, { root, story, go, columns: [] });
    this.sheet = new Sheet();
    this.status = make("p", { class: "status" });
    this.live = make("p", { class: "visually-hidden", "aria-live": "polite" });
    this.actions = make("div", { class: "row actions", role: "group", "aria-label": "This story" });
    this.error = make("p", { class: "error", role: "alert" });
    this.more = this.nextSentence();
    root.replaceChildren(this.head(), this.sheet.element, this.more, this.live);
    this.add(story, story.options.correction === false ? PLAIN : CORRECTED);
    if (against) this.add(against, against.options.correction === false ? PLAIN : CORRECTED);
  }

  head() {
    const options = Object.entries(this.story.options).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`);
    const facts = [`seed ${this.story.seed}`, ...options, this.story.model].join(" · ");
    return make("header", { class: "head" }, make("h2", { text: this.story.sentences[0] }),
      make("p", { class: "facts", text: facts }), this.status, this.actions, this.error);
  }

  add(story, label) {
    const frames = new Frames(story, this.sheet, label, () => this.refresh(), (text) => (this.live.textContent = text));
    this.columns.push(frames);
    this.sheet.element.classList.toggle("two", this.columns.length > 1);
    this.refresh();
  }

  refresh() {
    if (this.columns.length === 0) return;
    this.status.replaceChildren(...this.columns.map((column) => this.line(column)));
    const state = this.story.state;
    this.more.hidden = !this.story.open || OVER.includes(state);
    const wanted = JSON.stringify([this.columns.map((one) => [one.state, one.made > 0]), this.story.open]);
    if (wanted === this.shown) return; // buttons stay, and with them the focus
    this.shown = wanted;
    this.actions.replaceChildren(...this.buttons(state));
  }

  line(column) {
    const whole = column.state === "done" && column.detail;
    const count = whole ? null : `${column.made} of ${plural(column.story.sentences.length, "frame")}`;
    const words = column.lost ? "the connection is lost; trying again" : WORDS[column.state];
    const parts = [this.columns.length > 1 ? column.label : null, words, count, column.detail].filter(Boolean);
    const text = parts.join(" · ");
    return make("span", { "data-state": column.state, text: text[0].toUpperCase() + text.slice(1) });
  }

  buttons(state) {
    const base = storyPath(this.story.id);
    const made = this.columns[0].made > 0;
    const over = OVER.includes(state);
    const link = (text, name, there) => there && make("a", { class: "button", href: `${base}/${name}`, download: "", text });
    const button = (text, onclick, there) => there && make("button", { type: "button", text, onclick });
    const other = this.story.options.correction === false ? CORRECTED : PLAIN;
    return [
      button(`Compare ${other}`, () => this.compare(), this.columns.length === 1 && !this.story.open),
      button("Close the comparison", () => this.go.open(this.story.id), this.columns.length > 1),
      link("Sheet", "sheet.png", state === "done" || state === "waiting"),
      link("GIF", "story.gif", made),
      link("Record", "story.json", made),
      button("Cancel", () => this.act("POST", `${base}/cancel`), !over),
      button("Delete", () => this.remove(), over),
    ].filter(Boolean);
  }

  // The same sentences and seed with the correction the other way: a story of its own.
  async compare() {
    const { sentences, seed, options } = this.story;
    const correction = options.correction === false;
    await this.try(async () => {
      const body = { sentences, seed, ...options, correction, partial_images: 3 };
      const story = await api("POST", "v1/stories", body);
      this.go.open(this.story.id, story.id);
    });
  }

  async act(method, path, body) {
    return this.try(async () => this.columns[0].grown(await api(method, path, body)));
  }

  async remove() {
    await this.try(async () => {
      await api("DELETE", storyPath(this.story.id));
      this.go.away();
    });
  }

  async try(action) {
    this.error.textContent = "";
    try {
      await action();
      return true;
    } catch (error) {
      this.error.textContent = error.message;
      return false;
    }
  }

  nextSentence() {
    const input = make("input", { id: "next", name: "sentence", required: true, autocomplete: "off" });
    const base = storyPath(this.story.id);
    const submit = async (event) => {
      event.preventDefault();
      if (await this.act("POST", `${base}/sentences`, { sentence: input.value })) input.value = "";
    };
    return make("form", { class: "next", hidden: true, onsubmit: submit }, make("label", { for: "next", text: "Next sentence" }),
      make("div", { class: "row" }, input, make("button", { type: "submit", class: "main", text: "Add" }),
        make("button", { type: "button", text: "Close the story", onclick: () => this.act("POST", `${base}/close`) })));
  }

  close() {
    for (const column of this.columns) column.close();
  }
}

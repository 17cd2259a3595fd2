// The frames of one story in one column of the page, from its events.

import { make, plural, seconds } from "./dom.js";
import { api, storyPath } from "./api.js";
import { Picture } from "./picture.js";
import { Stream } from "./stream.js";
import { times } from "./times.js";

export const KINDS = ["queued", "started", "draft", "estimate", "frame", "waiting", "end", "failed", "cancelled"];
export const OVER = ["done", "failed", "cancelled"];
const AFTER = { queued: "queued", started: "running", draft: "running", estimate: "running", frame: "running",
  waiting: "waiting", end: "done", failed: "failed", cancelled: "cancelled" };

export class Frames {
  // `sheet` has a place for every frame; onChange() after each change of state, say(text) for those who listen.
  constructor(story, sheet, label, onChange, say) {
    Object.assign(this, { story, sheet, label, onChange, say, pictures: [], made: 0, detail: "" });
    this.grow();
    this.stream = new Stream(`${storyPath(story.id)}/events`, KINDS, (kind, data) => this.take(kind, data),
      (connected) => this.connected(connected));
  }

  get state() {
    return this.story.state;
  }

  connected(connected) {
    this.lost = !connected;
    this.onChange();
  }

  grow() {
    this.story.sentences.forEach((sentence, index) => {
      if (this.pictures[index]) return;
      this.pictures[index] = new Picture(index + 1, this.label);
      this.sheet.place(index, sentence).pictures.append(this.pictures[index].element);
    });
  }

  take(kind, data) {
    if (AFTER[kind]) this.story.state = AFTER[kind];
    this.detail = "";
    const picture = this.pictures[data.index];
    if (kind === "queued" && data.position === null) this.again();
    if (kind === "queued" && data.position > 0) this.detail = `${plural(data.position, "story", "stories")} before it`;
    if (kind === "started") this.draw(this.made);
    if (kind === "draft") picture?.draft(data.url);
    if (kind === "estimate") picture?.estimate(data.number, data.step, data.url);
    if (kind === "frame") this.finished(picture, data);
    if (kind === "failed") this.detail = data.error?.message ?? data.message ?? "";
    if (OVER.includes(this.state)) this.over(kind, data);
    this.onChange();
  }

  finished(picture, data) {
    this.made = Math.max(this.made, data.index + 1);
    if (data.corrected) picture?.draft(data.draft_url);
    picture?.finish(data.url, data.corrected);
    this.sheet.finished(data.index, data, this.label, times(data));
    this.say(`${this.label}: frame ${data.index + 1} of ${this.story.sentences.length} is finished.`);
    this.draw(data.index + 1);
  }

  draw(index) {
    if (this.pictures[index]?.best === -1) this.pictures[index].stage("drawing", "drawing");
  }

  over(kind, data) {
    this.stream.close();
    this.lost = false;
    for (const picture of this.pictures.slice(this.made)) picture.stage("left", "not drawn");
    if (kind === "end" && data.seconds) this.detail = `${plural(data.frames, "frame")} in ${seconds(1000 * data.seconds)}`;
    this.say(`${this.label}: the story is ${this.state}. ${this.detail}`);
  }

  // Sentences were added, here or by another page.
  async again() {
    this.grown(await api("GET", storyPath(this.story.id)));
  }

  grown({ sentences, open }) {
    Object.assign(this.story, { sentences, open });
    this.grow();
    if (this.state === "running") this.draw(this.made);
    this.onChange();
  }

  close() {
    this.stream.close();
  }
}

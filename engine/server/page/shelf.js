// The list of stories, the newest first, kept up to date by one stream for all of them.

import { $, make, plural } from "./dom.js";
import { api, storyPath } from "./api.js";
import { KINDS, OVER } from "./frames.js";
import { Stream } from "./stream.js";

const STATES = { queued: "queued", started: "running", waiting: "waiting", end: "done", failed: "failed",
  cancelled: "cancelled" };
const PAGE = 20;

export class Shelf {
  constructor(go) {
    Object.assign(this, { go, stories: new Map(), current: null, timer: null });
    $("shelf-more").addEventListener("click", () => this.load(this.oldest));
  }

  async start() {
    await this.load();
    this.stream = new Stream("v1/events", KINDS, (kind, data) => this.take(kind, data), (connected) => {
      $("connection").textContent = connected ? "" : "The connection is lost; trying again.";
      if (connected && this.lost) this.load();
      this.lost = !connected;
    });
  }

  async load(after) {
    const query = after ? `&after=${encodeURIComponent(after)}` : "";
    try {
      const page = await api("GET", `v1/stories?limit=${PAGE}${query}`);
      for (const story of page.data) this.stories.set(story.id, { ...this.stories.get(story.id), ...story });
      if (after || this.oldest === undefined) {
        this.oldest = page.last_id;
        $("shelf-more").hidden = !page.has_more;
      }
      this.draw();
    } catch {
      // the stream says that the server is away, and the list is read again when it is back
    }
  }

  take(kind, data) {
    const story = this.stories.get(data.story);
    if (!story) {
      clearTimeout(this.timer); // one request for many new stories
      this.timer = setTimeout(() => this.load(), 100);
      return;
    }
    story.state = STATES[kind] ?? story.state;
    if (kind === "frame") Object.assign(story, { made: data.index + 1, picture: data.url });
    if (kind in STATES || kind === "frame") this.draw();
  }

  select(id) {
    this.current = id;
    this.draw();
  }

  forget(id) {
    this.stories.delete(id);
    this.draw();
  }

  draw() {
    const focused = document.activeElement?.closest?.("#shelf li")?.dataset.id;
    const inner = document.activeElement?.dataset?.act;
    const newest = [...this.stories.values()].sort((a, b) => b.created_at - a.created_at);
    $("shelf").replaceChildren(...newest.map((story) => this.line(story)));
    $("shelf-empty").hidden = newest.length > 0;
    if (!focused) return;
    const line = [...$("shelf").children].find((one) => one.dataset.id === focused);
    line?.querySelector(`[data-act="${inner}"]`)?.focus();
  }

  line(story) {
    const over = OVER.includes(story.state);
    const url = story.picture ?? (story.state === "done" ? `${storyPath(story.id)}/frames/0.png` : null);
    const picture = url ? make("img", { src: url, alt: "", draggable: "false" }) : make("span", { class: "blank" });
    const plain = story.options?.correction === false ? " · without correction" : "";
    const count = over || !story.made ? plural(story.sentences.length, "frame") : `${story.made} of ${story.sentences.length}`;
    const link = make("a", { href: `?story=${encodeURIComponent(story.id)}`, "data-act": "open",
      "aria-current": story.id === this.current ? "true" : null, onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        this.go.open(story.id);
      } }, picture, make("span", { class: "text" }, make("span", { class: "first", text: story.sentences[0] }),
      make("span", { class: "state", "data-state": story.state, text: `${story.state} · ${count}${plain}` })));
    const name = over ? "Delete" : "Cancel";
    const act = make("button", { type: "button", class: "quiet", "data-act": "end", text: name,
      "aria-label": `${name} the story: ${story.sentences[0]}`, onclick: () => this.end(story, over) });
    return make("li", { "data-id": story.id }, link, act);
  }

  async end(story, over) {
    try {
      if (!over) {
        story.state = (await api("POST", `${storyPath(story.id)}/cancel`)).state;
        return this.draw();
      }
      await api("DELETE", storyPath(story.id));
    } catch (error) {
      if (error.status !== 404) {
        $("connection").textContent = error.message;
        return;
      }
    }
    this.forget(story.id);
    if (story.id === this.current) this.go.away();
  }
}

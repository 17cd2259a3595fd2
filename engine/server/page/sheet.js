// The page of a story: a place for each frame, with its sentence, its pictures (one a column) and its times.

import { make } from "./dom.js";

export class Sheet {
  constructor() {
    this.places = [];
    this.element = make("ol", { class: "frames" });
  }

  // The place of frame `index`, made when it is asked for the first time.
  place(index, sentence) {
    if (this.places[index]) return this.places[index];
    const pictures = make("div", { class: "pictures" });
    const prompt = make("p", { class: "prompt", hidden: true });
    const figures = make("div", { class: "figures" });
    const caption = make("figcaption", {}, make("span", { class: "number", text: `${index + 1}` }),
      make("span", { class: "sentence", text: sentence }));
    const item = make("li", { "data-frame": index }, make("figure", {}, pictures, caption), prompt, figures);
    this.element.append(item);
    return (this.places[index] = { item, pictures, prompt, figures, times: new Map() });
  }

  finished(index, frame, label, times) {
    const place = this.places[index];
    if (!place) return;
    if (frame.refined_prompt && frame.refined_prompt !== frame.sentence) {
      place.prompt.textContent = frame.refined_prompt;
      place.prompt.hidden = false;
    }
    if (!times) return;
    times.setAttribute("aria-label", `Times of frame ${index + 1}, ${label}`);
    if (place.times.has(label)) place.times.get(label).replaceWith(times);
    else place.figures.append(times);
    place.times.set(label, times);
  }
}

// The form of a new story.

import { $, make, plural } from "./dom.js";
import { api } from "./api.js";

const EXAMPLES = {
  "A beagle": ["Benny the beagle sat in a garden.", "He jumped up and ran to the flowers.", "Benny lay down and slept."],
  "A fox": ["Luna the fox stood at a pond under a blue sky.", "She drank.", "Luna looked up at a butterfly.", "She ran."],
  "A rabbit": ["A rabbit sat in the snow.", "It sniffed at a flower.", "The rabbit hopped away."],
};
const NUMBERS = ["num_inference_steps", "strength", "guidance_scale"];

export class Compose {
  // `go.open(id, against)` shows a story.
  constructor(go) {
    this.go = go;
    this.form = $("compose");
    this.form.addEventListener("submit", (event) => this.submit(event));
    $("sentences").addEventListener("input", () => this.count());
    $("sentences").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
    $("open").addEventListener("change", () => this.exclude());
    for (const [name, lines] of Object.entries(EXAMPLES)) {
      $("examples").append(make("button", { type: "button", class: "quiet", text: name, onclick: () => this.fill(lines) }));
    }
    this.count();
  }

  get sentences() {
    return $("sentences").value.split("\n").map((line) => line.trim()).filter(Boolean);
  }

  fill(lines) {
    $("sentences").value = lines.join("\n");
    this.count();
    $("sentences").focus();
  }

  count() {
    const count = this.sentences.length;
    $("count").textContent = count ? `${plural(count, "sentence")}, ${plural(count, "frame")}` : "No sentence yet";
  }

  // An open story may grow: its plain version would have fewer frames.
  exclude() {
    $("against").disabled = $("open").checked;
  }

  body() {
    const body = { sentences: this.sentences, partial_images: Number($("partial_images").value) || 1 };
    if ($("seed").value) body.seed = $("seed").value;
    for (const name of NUMBERS) if ($(name).value) body[name] = Number($(name).value);
    if (!$("correction").checked) body.correction = false;
    if ($("open").checked) body.open = true;
    return body;
  }

  async submit(event) {
    event.preventDefault();
    $("compose-error").textContent = "";
    const button = this.form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      const story = await api("POST", "v1/stories", this.body());
      this.go.open(story.id, await this.other(story));
    } catch (error) {
      $("compose-error").textContent = error.message;
    } finally {
      button.disabled = false;
    }
  }

  // The id of the same story with the correction the other way, where one is wanted.
  async other(story) {
    if (!$("against").checked || $("against").disabled) return undefined;
    const body = { ...this.body(), seed: story.seed, correction: !$("correction").checked };
    return (await api("POST", "v1/stories", body)).id;
  }
}

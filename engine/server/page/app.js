// The page: which story is shown is in the address (?story=ID&against=ID), so that a reload shows it again.

import { $, make } from "./dom.js";
import { api, storyPath } from "./api.js";
import { unlock } from "./key.js";
import { Compose } from "./compose.js";
import { Shelf } from "./shelf.js";
import { StoryView } from "./story.js";

let view = null;
let asked = 0;

const go = {
  open(id, against) {
    const query = new URLSearchParams({ story: id, ...(against ? { against } : {}) });
    history.pushState(null, "", `?${query}`);
    return show().then(arrive);
  },
  away() {
    if (view) shelf.forget(view.story.id);
    history.pushState(null, "", "./");
    return show();
  },
};

const shelf = new Shelf(go);

// The story gets the focus; where it is below the form (on a phone), the page moves to it.
function arrive() {
  $("story").focus({ preventScroll: true });
  if ($("story").getBoundingClientRect().top > window.innerHeight / 2) $("story").scrollIntoView();
}

async function show() {
  const query = new URLSearchParams(location.search);
  const turn = ++asked;
  view?.close();
  view = null;
  shelf.select(query.get("story"));
  if (!query.get("story")) return welcome();
  try {
    const [story, against] = await Promise.all(
      [query.get("story"), query.get("against")].map((id) => (id ? api("GET", storyPath(id)) : null)));
    if (turn === asked) view = new StoryView($("story"), story, against, go);
  } catch (error) {
    if (turn === asked) $("story").replaceChildren(make("p", { class: "error", role: "alert", text: error.message }));
  }
}

function welcome() {
  $("story").replaceChildren(make("div", { class: "welcome" },
    make("p", { class: "big", text: "Type a story, or take an example." }),
    make("p", { text: "Every sentence becomes a picture. An autoregressive model drafts it; a diffusion model corrects it; "
      + "the corrected picture is what the next sentence sees." })));
}

async function start() {
  new Compose(go);
  window.addEventListener("popstate", show);
  document.querySelector("[data-link=new]").addEventListener("click", (event) => {
    event.preventDefault();
    history.pushState(null, "", "./");
    show().then(() => $("sentences").focus());
  });
  await unlock();
  await Promise.all([shelf.start(), show()]);
}

start();

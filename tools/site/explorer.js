// What answers the panel where no kernel does: a picture and a sentence for each position, made when the book was built.
// `render` is the panel's (panel.js, which stands above in the same file).

const LATE = "This picture did not load.";
const plain = (sentence) => sentence.replace(/<[^>]+>|\*\*/g, "");

// The number of a position; the last slider counts fastest.
const place = (choices, at) => choices.reduce((sum, { name, words }) => sum * words.length + at[name], 0);

function explorer(box) {
  const { choices, columns, start, folder, sentences } = JSON.parse(box.querySelector("script").textContent);
  const link = box.querySelector("a"), picture = link.firstChild;
  const source = (number) => `${folder}${number}.webp`;
  const state = { choices, columns, ask: { number: 0, at: start } };
  let heard = () => {};

  function answer(fault = "") {
    const { number, at } = state.ask;
    state.answer = { number, sentence: sentences[place(choices, at)], fault };
    heard();
  }

  function show(src, alt) {
    Object.assign(picture, { src, alt });
    link.href = src;
  }

  // The sentence is here already; the picture follows when it is loaded, if no later move has overtaken it.
  function move() {
    const { number, at } = state.ask, wanted = place(choices, at), next = new Image();
    next.src = source(wanted);
    next.decode().then(
      () => number === state.ask.number && show(next.src, plain(sentences[wanted])),
      () => number === state.ask.number && answer(LATE),
    );
    answer();
    fetchNeighbours();
  }

  function fetchNeighbours() {
    const { at } = state.ask;
    for (const { name, words } of choices)
      for (const index of [at[name] - 1, at[name] + 1])
        if (words[index]) new Image().src = source(place(choices, { ...at, [name]: index }));
  }

  const model = {
    get: (name) => state[name],
    set: (name, value) => (state[name] = value),
    save_changes: move,
    on: (_, update) => (heard = update),
    off: () => {},
  };
  answer();
  const panel = document.createElement("div");
  link.before(panel);
  render({ model, el: panel });
  link.after(panel.querySelector(".regimes-sentence")); // where a longer one does not push the picture down
  for (const first of ["pointerenter", "focusin"]) panel.addEventListener(first, fetchNeighbours, { once: true });
}

// An animation: nothing moves before a reader asks for it, and the same button stops it.
function movie(place) {
  const { frames, count, delay } = place.dataset;
  const picture = place.closest(".film").querySelector("img"), still = picture.getAttribute("src");
  const button = element("button", { type: "button", textContent: "See it move" }, place);
  picture.style.aspectRatio = `${picture.width} / ${picture.height}`; // frames of another shape move nothing on the page
  let images = [], next = 0, timer;

  function stop(says) {
    clearInterval(timer);
    timer = undefined;
    button.textContent = says;
  }

  function show() {
    if (next < images.length) return void (picture.src = images[next++].src);
    picture.src = still;
    next = 0;
    stop("See it again");
  }

  button.addEventListener("click", async () => {
    if (timer) return stop("Go on");
    if (!images.length) {
      images = Array.from({ length: count }, (_, i) => Object.assign(new Image(), { src: `${frames}${i}.webp` }));
      await Promise.allSettled(images.map((image) => image.decode()));
    }
    // Who asked their system for less motion gets a frame a second instead of a film.
    timer = setInterval(show, matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : Number(delay));
    button.textContent = "Pause";
  });
}

// A formula that is wider than its column scrolls: by keyboard only if it can be reached, in a line of text only as a block.
function reachable() {
  for (const formula of document.querySelectorAll("mjx-container:not([display])"))
    formula.classList.toggle("wide", formula.offsetWidth > formula.closest("p, li, dd, td, dt, div").clientWidth);
  for (const box of document.querySelectorAll("div.math, mjx-container[display], mjx-container.wide"))
    if (box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX === "auto") box.tabIndex = 0; // 1: rounding
}

// Paper is white, and nothing can be unfolded on it.
function forPaper() {
  const { dataset } = document.documentElement;
  let theme, folded;
  addEventListener("beforeprint", () => {
    theme = dataset.theme;
    dataset.theme = "light";
    folded = [...document.querySelectorAll("article details:not([open])")];
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => {
    dataset.theme = theme;
    for (const one of folded) one.open = false;
  });
}

// On a phone the list of sections lies over the page, until one is chosen.
function closeOnChoice(drawer) {
  drawer.addEventListener("click", ({ target }) => target.closest("a") && drawer.close());
}

forPaper();
window.addEventListener("load", () => window.MathJax?.startup?.promise.then(reachable));
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".explorer").forEach(explorer);
  document.querySelectorAll(".movie").forEach(movie);
  document.querySelectorAll("dialog").forEach(closeOnChoice);
});

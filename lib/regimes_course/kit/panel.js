// Sliders with a name and a value for who hears them, and the sentence that says what the picture shows.
//
// What is seen follows from two numbers of the model. `ask.number` counts the moves, here; `answer.number` is the move that the
// kernel has answered last. While they differ, sentence and picture are old, and the panel says so: at once that it computes,
// and after a while without an answer what to do about it. A kernel that was restarted never answers.

const PATIENCE = 6000; // ms
const KEYS = /^(Arrow|Page|Home|End)/; // that move a slider
const NOTES = { computing: "Computing …", lost: "Nothing moves? Run this cell again." };

function element(tag, properties, parent) {
  const made = Object.assign(document.createElement(tag), properties);
  parent.append(made);
  return made;
}

// A slider of the panel: `show(index)` moves it, `moved(index)` is called when somebody else does.
function slider({ label, words }, parent, moved) {
  const row = element("label", { className: "regimes-slider" }, parent);
  element("span", { textContent: label }, row);
  const input = element("input", { type: "range", min: 0, max: words.length - 1, ariaLabel: label }, row);
  const value = element("span", { className: "regimes-value", ariaHidden: "true" }, row); // heard with the slider itself
  value.style.minWidth = `${Math.max(...words.map((word) => word.length))}ch`; // nothing jumps when the value changes
  input.addEventListener("input", () => moved(Number(input.value)));
  return (index) => {
    input.value = index;
    input.ariaValueText = value.textContent = words[index];
  };
}

function render({ model, el }) {
  const panel = element("div", { className: "regimes-panel" }, el);
  const sliders = element("div", { className: "regimes-sliders" }, panel);
  sliders.style.setProperty("--columns", model.get("columns"));
  const note = element("p", { className: "regimes-note" }, panel);
  const alarm = element("span", { role: "alert" }, note);
  const computing = element("span", { textContent: NOTES.computing }, note); // not announced: the sentence soon will be
  const sentence = element("p", { className: "regimes-sentence", role: "status", ariaLive: "polite" }, panel);
  const show = {};
  let timer;

  for (const { name, ...choice } of model.get("choices")) {
    show[name] = slider(choice, sliders, (index) => {
      const { number, at } = model.get("ask");
      model.set("ask", { number: number + 1, at: { ...at, [name]: index } });
      model.save_changes(); // keeps one message on its way; of the moves in the meantime only the last is sent
    });
  }

  function update() {
    const ask = model.get("ask"), answer = model.get("answer");
    const waiting = ask.number !== answer.number;
    for (const [name, index] of Object.entries(ask.at)) show[name](index);
    if (sentence.innerHTML !== answer.sentence) sentence.innerHTML = answer.sentence;
    panel.classList.toggle("regimes-old", waiting || answer.fault !== "");
    computing.hidden = !waiting;
    alarm.textContent = answer.fault;
    clearTimeout(timer);
    if (waiting) timer = setTimeout(lost, PATIENCE);
  }

  function lost() {
    computing.hidden = true;
    alarm.textContent = NOTES.lost;
  }

  // JupyterLab takes arrow keys for itself, unless this attribute is there when it looks; Ctrl-S and the like stay its own.
  function claim({ target, key }) {
    if (panel.contains(target)) target.toggleAttribute("data-lm-suppress-shortcuts", KEYS.test(key));
  }

  window.addEventListener("keydown", claim, { capture: true });
  model.on("change:ask change:answer", update);
  update();
  return () => {
    clearTimeout(timer);
    window.removeEventListener("keydown", claim, { capture: true });
    model.off("change:ask change:answer", update);
  };
}

export default { render };

// The page: the walk back through all figures at once, with the slider and with keys.

const main = document.getElementById("figures");
const slider = document.getElementById("walk"), where = document.getElementById("where"), play = document.getElementById("play");
const dock = document.getElementById("dock");
if (scenes.length > 1) for (const part of [main, dock]) part.classList.add("two");
new ResizeObserver(() => { document.body.style.paddingBottom = `${dock.offsetHeight + 20}px`; }).observe(dock);
const figures = scenes.map((scene, k) => new Figure(scene, names[k] ?? "", main));
const most = Math.max(...figures.map((figure) => figure.lines));
slider.max = most;
slider.value = most;

function legend() {
  const used = new Set(scenes.flatMap((scene) => scene.op.map((op) => scene.ops[op][1])));
  const parts = Object.entries(words).filter(([family]) => used.has(family)).map(([family, word]) =>
    html("span", {}, html("i", { style: `border-color: var(--${family})` }), word));
  const [low, high] = scenes[0].scale;
  const ramp = html("b", {}, ...Array.from({ length: shades }, (_, k) => html("u", { style: `background: var(--g${k})` })));
  document.getElementById("legend").append(...parts, html("span", { class: "ramp" }, `gradient ${figure(low, 2)}`, ramp, figure(high, 2)));
}

function go(steps) {
  const at = clamp(Math.round(steps), 0, most);
  slider.value = at;
  for (const figure of figures) figure.go(Math.round((at * figure.lines) / most));
  say();
}

function say() {
  const text = figures.map((figure) => {
    const i = figure.now;
    return i === null ? "before the first step" : `step ${figure.done} of ${figure.lines}: ${figure.scene.ops[figure.scene.op[i]][0]}, ${figure.place(i)}`;
  });
  where.textContent = figures.map((figure) => `${figure.done} of ${figure.lines}`).join(", ");
  slider.setAttribute("aria-valuetext", text.join("; "));
}

// To where the first figure comes to another time step, or to another layer.
function further(by) {
  const figure = figures[0], { column, spot, spots } = figure.scene;
  const key = (done) => { const i = figure.lines - done; return done ? `${column[i]} ${spots[spot[i]][2]}` : "start"; };
  let done = figure.done;
  const from = key(done);
  while (done + by >= 0 && done + by <= figure.lines && key(done) === from) done += by;
  return (done * most) / figure.lines;
}

// All figures from the same time step on.
function show(step) {
  for (const figure of figures) figure.look(step * figure.scene.pitch);
}

let playing = null;
function toggle() {
  if (playing) cancelAnimationFrame(playing);
  const starts = !playing;
  playing = null;
  play.textContent = starts ? "❚❚" : "▶";
  play.setAttribute("aria-label", starts ? "Pause" : "Play the walk back");
  if (!starts) return;
  let at = +slider.value >= most ? 0 : +slider.value, before = performance.now();
  const speed = Math.max(8, most / 25) / 1000; // steps a millisecond: at most 25 seconds in all
  const frame = (now) => {
    at += (now - before) * speed;
    before = now;
    if (Math.floor(at) !== +slider.value) go(Math.min(Math.floor(at), most));
    playing = at < most ? requestAnimationFrame(frame) : (toggle(), null);
  };
  go(at);
  playing = requestAnimationFrame(frame);
}

slider.addEventListener("input", () => go(+slider.value));
play.addEventListener("click", toggle);
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.matches?.("input") && event.target !== slider) return;
  if (event.key === " " && event.target === play) return;
  const at = +slider.value, arrows = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
  const by = arrows[event.key];
  if (by) go(event.shiftKey ? further(by) : at + by);
  else if (event.key === "PageDown") go(further(1));
  else if (event.key === "PageUp") go(further(-1));
  else if (event.key === "Home") go(0);
  else if (event.key === "End") go(most);
  else if (event.key === " ") toggle();
  else return;
  event.preventDefault();
});
legend();
say();

// The radio: play, steer, mark, return, record.

import { $, ask, fill, make, notice } from "./app.js";
import { Pad } from "./pad.js";
import { Player } from "./player.js";
import { Scopes } from "./scopes.js";

export const player = new Player();
let models = [], song = "", heard = [], recording = false, settled = 0, wished = "";
let chosen = {}; // what was set for this model, before or while it plays: it is set again when playing begins anew
const pad = new Pad($("pad"), (mix) => {
  set({ genre: mix.map(([g, w]) => `${g}:${w.toFixed(3)}`).join(",") });
  $("mix").textContent = pad.text;
});
new Scopes(player);

const SLIDERS = {
  temperature: ["temperature", 0.1, 2, 0.01], top_p: ["top-p", 0.1, 1, 0.01], guidance: ["keep to genre", 0, 4, 0.05],
  tempo: ["beats a minute", 40, 200, 1], pulse: ["keep to beat", 0, 6, 0.1],
  inject_amount: ["noise fed back", 0, 1, 0.01],
};
const sliders = {};

function slider(text, low, high, step, value, act) {
  const input = make("input", { type: "range", min: low, max: high, step, value, "aria-label": text });
  const output = make("output", {}, String(value));
  input.addEventListener("input", () => { output.textContent = input.value; act(Number(input.value)); });
  const label = make("label", {}, make("span", {}, text), input, output);
  label.set = (v) => { input.value = v; output.textContent = String(Math.round(100 * v) / 100); };
  label.input = input;
  return label;
}

for (const [name, [text, low, high, step]] of Object.entries(SLIDERS)) {
  sliders[name] = slider(text, low, high, step, low, (v) => set(name === "inject_amount" ? { inject_amount: v, inject_every: v ? 0.1 : 0 } : { [name]: v }));
  $("sliders").append(sliders[name]);
}
$("buffer").append(slider("buffer, ms", 60, 2000, 20, 280, (v) => { player.target = v / 1000; }));

// A drag makes a hundred moves a second; the studio needs no more than twenty.
let waiting = null;
function set(values) {
  settled = performance.now();
  Object.assign(chosen, values);
  if (!player.playing) return;
  if (waiting) { Object.assign(waiting, values); return; }
  waiting = { ...values };
  setTimeout(() => { if (player.playing) player.move({ set: waiting }); waiting = null; }, 50);
}

function current() {
  return models.find((m) => m.name === $("model").value);
}

async function toggle() {
  if (player.playing) { player.stop(); return; }
  const model = current();
  if (!model || model.problem) { notice(model ? `${model.name}: ${model.problem}` : "There is no model to play."); return; }
  const begin = $("begin").value;
  if (begin === "song" && !song) { notice("Choose a song first, or begin with nothing."); return; }
  heard = [];
  if (!begin) $("seedview").hidden = true;
  await player.begin({
    model: model.name, rate: model.sample_rate, seed: $("seed").value || "0",
    song: begin === "song" ? song : "", noise: begin === "perlin" || begin === "normal" ? begin : "",
  });
}

function controls(on) {
  for (const id of ["freeze", "surprise", "mark", "record"]) $(id).disabled = !on;
  $("freeze").setAttribute("aria-pressed", "false");
  $("play").textContent = on ? "stop" : "play";
}

function freeze(on) {
  $("freeze").setAttribute("aria-pressed", String(on));
  if (player.playing) { player.freeze(on); $("status").textContent = on ? "frozen" : "playing"; }
}

function showSettings(s) {
  for (const name of Object.keys(SLIDERS)) if (s[name] !== undefined) sliders[name].set(s[name]);
}

function showMarks(marks) {
  $("marks").replaceChildren(...marks.map((m) => make("button", { type: "button", onclick: () => player.move({ return: m }) }, `↩ ${m}`)));
}

player.addEventListener("hello", ({ detail }) => {
  controls(true);
  const lost = recording && !detail.recording;
  recorded(Boolean(detail.recording));
  $("status").textContent = detail.again ? "connected again, going on" : "playing";
  // What was chosen reaches the studio before it makes the first sound.
  if (!detail.again && Object.keys(chosen).length) {
    player.move({ set: chosen });
    settled = performance.now();
  }
  if (!("genre" in chosen)) {
    pad.show(detail.genres, detail.settings.genre);
    $("mix").textContent = detail.genres.length ? detail.settings.genre : "–";
  }
  sliders.guidance.input.disabled = !detail.genres.length || current()?.head !== "depth";
  for (const name of ["tempo", "pulse"]) sliders[name].input.disabled = !current()?.clock;
  showSettings({ ...detail.settings, ...chosen });
  showMarks(detail.marks);
  if (detail.remarks.length) notice(detail.remarks.join(" "));
  if (lost) { notice("The connection was lost, and the recording ended there; what there is of it is listed below."); setTimeout(list, 500); }
});
player.addEventListener("moved", ({ detail }) => {
  showMarks(detail.marks);
  // Where it stands is shown, but not under a hand that is still moving.
  if (performance.now() - settled > 700) showSettings(detail.settings);
  if (detail.move.mark) $("status").textContent = `marked ${detail.move.mark}`;
  if (detail.move.return) $("status").textContent = `back at ${detail.move.return}, another way`;
});
player.addEventListener("refused", ({ detail }) => notice(detail.why));
player.addEventListener("impossible", ({ detail }) => { controls(false); notice(detail.why); $("status").textContent = "silent"; });
player.addEventListener("lost", () => { $("status").textContent = "connection lost; trying again"; });
player.addEventListener("stopped", () => { controls(false); recorded(false); $("status").textContent = "silent"; setTimeout(list, 500); });
player.addEventListener("level", ({ detail }) => {
  $("level").value = Math.min(1, detail.seconds);
  $("buffered").textContent = `${Math.round(1000 * detail.seconds)} ms`;
  $("gaps").textContent = detail.gaps;
});
player.addEventListener("see", ({ detail }) => { $("pace").textContent = detail.pace.toFixed(1); });
player.addEventListener("first", ({ detail }) => { $("status").dataset.first = Math.round(detail.ms); });
player.addEventListener("recording", () => recorded(true));
player.addEventListener("recorded", ({ detail }) => { recorded(false); if (detail.name) notice(`Kept ${detail.name}, ${detail.seconds} s`); list(); });
player.addEventListener("sound", ({ detail }) => {
  if ($("seedview").hidden || heard.length > 400) return;
  const size = Math.round(player.rate / 80);
  for (let i = 0; i < detail.samples.length; i += size) {
    let most = 0;
    for (const v of detail.samples.subarray(i, i + size)) most = Math.max(most, Math.abs(v));
    heard.push(most);
  }
  drawSeed();
});

function recorded(on) {
  recording = on;
  $("record").textContent = on ? "stop recording" : "record";
  $("record").setAttribute("aria-pressed", String(on));
}

$("play").addEventListener("click", () => toggle().catch((error) => notice(`The sound cannot be played: ${error.message}`)));
$("freeze").addEventListener("click", () => freeze(!player.frozen));
$("surprise").addEventListener("click", () => player.move({ surprise: true }));
let count = 0;
$("mark").addEventListener("click", () => player.move({ mark: `moment ${++count}` }));
$("record").addEventListener("click", () => player.record(!recording, $("format").value));
$("begin").addEventListener("change", begins);
$("seed").addEventListener("change", begins);
$("song").addEventListener("change", () => give($("song").files[0]));
for (const kind of ["dragover", "dragleave", "drop"])
  $("songbox").addEventListener(kind, (e) => {
    e.preventDefault();
    $("songbox").classList.toggle("over", kind === "dragover");
    if (kind === "drop") give(e.dataTransfer.files[0]);
  });

let peaks = [];
async function begins() {
  const begin = $("begin").value;
  $("songbox").hidden = begin !== "song";
  heard = [];
  if (begin === "perlin" || begin === "normal") {
    ({ peaks } = await ask("GET", `/api/noise/${begin}?seed=${Number($("seed").value) || 0}`));
    showSeed();
  } else $("seedview").hidden = true;
}

async function give(file) {
  if (!file) return;
  $("status").textContent = `reading ${file.name}`;
  try {
    const found = await ask("PUT", `/api/seeds/${encodeURIComponent(file.name)}`, file);
    ({ song, peaks } = found);
    $("status").textContent = `${file.name}: ${found.seconds.toFixed(1)} s; press play`;
    if (found.issues.length) notice(`${file.name}: ${found.issues.join("; ")}`);
    heard = [];
    showSeed();
  } catch { $("status").textContent = "silent"; }
}

function showSeed() {
  $("seedview").hidden = false;
  drawSeed();
}

function drawSeed() {
  const canvas = $("seedcanvas"), g = canvas.getContext("2d"), { width, height } = canvas;
  const style = getComputedStyle(document.documentElement);
  g.clearRect(0, 0, width, height);
  const bars = (values, from, colour) => {
    g.fillStyle = colour;
    values.forEach((v, i) => { if (i < 400) g.fillRect(from + (i / 400) * (width / 2), (height / 2) * (1 - v), width / 800 + 0.3, Math.max(1, v * height)); });
  };
  bars(peaks, 0, style.getPropertyValue("--edge"));
  bars(heard, width / 2, style.getPropertyValue("--accent"));
}

/** Makes a recording again from its recipe, and says whether it is the same. */
async function again(url, name) {
  notice(`Making ${name} again from its recipe …`);
  const answer = await fetch(`${url}/again`, { method: "POST" });
  if (!answer.ok) { notice((await answer.json()).problem); return; }
  const [made, kept] = await Promise.all([answer.arrayBuffer(), fetch(url).then((r) => r.arrayBuffer())]);
  const [a, b] = [new Uint8Array(made), new Uint8Array(kept)];
  notice(`${name}, made again: ${a.length === b.length && a.every((v, i) => v === b[i]) ? "the same bytes" : "not the same"}.`);
}

async function list() {
  const found = await ask("GET", "/api/recordings", undefined, { quiet: true }).catch(() => []);
  $("recordings").replaceChildren(...found.map((r) => {
    const url = `/api/recordings/${encodeURIComponent(r.name)}`;
    return make("li", {}, make("span", {}, `${r.name}, ${(r.bytes / 1e6).toFixed(1)} MB, ${r.model}, ${r.moves} moves${r.recovered ? ", recovered: the studio was ended while it went on" : ""}`),
      make("audio", { controls: true, preload: "none", src: url, "aria-label": r.name }),
      make("a", { href: url, download: r.name }, "keep"),
      make("a", { href: url.replace(/\.\w+$/, ".json"), download: r.name.replace(/\.\w+$/, ".json") }, "recipe"),
      make("button", { type: "button", onclick: () => again(url, r.name).catch(() => {}) }, "make again"),
      make("button", { type: "button", onclick: async () => { await ask("DELETE", url); list(); } }, "remove"));
  }));
}

/** Shows a model on the radio; another one that plays ends. */
export function open(name) {
  wished = name;
  if (location.hash === "#radio") shown();
  else location.hash = "#radio";
}

function changed() {
  player.stop();
  chosen = {};
  pad.show(current()?.told ? current().genres : [], "");
  $("mix").textContent = "–";
}

export async function shown() {
  models = await ask("GET", "/api/models");
  fill($("model"), models.map((m) => m.name));
  list();
  if (wished && wished !== $("model").value && models.some((m) => m.name === wished)) {
    $("model").value = wished;
    changed();
  }
  wished = "";
  if (!player.playing && !("genre" in chosen)) pad.show(current()?.told ? current().genres : [], "");
}
addEventListener("themed", () => { pad.draw(); drawSeed(); });
$("model").addEventListener("change", changed);
controls(false);

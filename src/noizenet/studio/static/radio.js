// The radio page: playback, controls, snapshots, recording.

import { $, request, fill, make, notice } from "./app.js";
import { Pad } from "./pad.js";
import { Player } from "./player.js";
import { Scopes } from "./scopes.js";

export const player = new Player();
let models = [], prompt = "", outputPeaks = [], recording = false, lastChange = 0, requestedModel = "";
let chosen = {}; // settings chosen for this model, before or during playback; they are sent again at each start
const pad = new Pad($("pad"), (mix) => {
  set({ genre: mix.map(([g, w]) => `${g}:${w.toFixed(3)}`).join(",") });
  $("mix").textContent = pad.text;
});
new Scopes(player);

const SLIDERS = {
  temperature: ["temperature", 0.1, 2, 0.01], top_p: ["top-p", 0.1, 1, 0.01], genre_guidance: ["genre guidance", 0, 4, 0.05],
  tempo: ["tempo, BPM", 40, 200, 1], beat_guidance: ["beat guidance", 0, 6, 0.1],
  inject_amount: ["injected noise", 0, 1, 0.01],
};
const sliders = {};

function slider(text, low, high, step, value, onChange) {
  const input = make("input", { type: "range", min: low, max: high, step, value, "aria-label": text });
  const output = make("output", {}, String(value));
  input.addEventListener("input", () => { output.textContent = input.value; onChange(Number(input.value)); });
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

// A drag causes a hundred changes a second; at most twenty are sent.
let pending = null;
function set(values) {
  lastChange = performance.now();
  Object.assign(chosen, values);
  if (!player.playing) return;
  if (pending) { Object.assign(pending, values); return; }
  pending = { ...values };
  setTimeout(() => { if (player.playing) player.move({ set: pending }); pending = null; }, 50);
}

function current() {
  return models.find((m) => m.name === $("model").value);
}

async function toggle() {
  if (player.playing) { player.stop(); return; }
  const model = current();
  if (!model || model.problem) { notice(model ? `${model.name}: ${model.problem}` : "There is no model to play."); return; }
  const begin = $("begin").value;
  if (begin === "song" && !prompt) { notice("Choose an audio file first, or no prompt."); return; }
  outputPeaks = [];
  if (!begin) $("seedview").hidden = true;
  await player.start({
    model: model.name, rate: model.sample_rate, seed: $("seed").value || "0",
    song: begin === "song" ? prompt : "", noise: begin === "perlin" || begin === "normal" ? begin : "",
  });
}

function controls(on) {
  for (const id of ["freeze", "surprise", "mark", "record"]) $(id).disabled = !on;
  $("freeze").setAttribute("aria-pressed", "false");
  $("play").textContent = on ? "stop" : "play";
}

function pause(on) {
  $("freeze").setAttribute("aria-pressed", String(on));
  if (player.playing) { player.pause(on); $("status").textContent = on ? "paused" : "playing"; }
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
  showRecording(Boolean(detail.recording));
  $("status").textContent = detail.resumed ? "reconnected, playing" : "playing";
  // The chosen settings reach the studio before the first block.
  if (!detail.resumed && Object.keys(chosen).length) {
    player.move({ set: chosen });
    lastChange = performance.now();
  }
  if (!("genre" in chosen)) {
    pad.show(detail.genres, detail.settings.genre);
    $("mix").textContent = detail.genres.length ? detail.settings.genre : "–";
  }
  sliders.genre_guidance.input.disabled = !detail.genres.length || current()?.head !== "depth";
  for (const name of ["tempo", "beat_guidance"]) sliders[name].input.disabled = !current()?.clock;
  showSettings({ ...detail.settings, ...chosen });
  showMarks(detail.marks);
  if (detail.remarks.length) notice(detail.remarks.join(" "));
  if (lost) { notice("The connection was lost, which ended the recording; the recorded part is listed below."); setTimeout(list, 500); }
});
player.addEventListener("moved", ({ detail }) => {
  showMarks(detail.marks);
  // The sliders show the settings in force, but not while they are being moved.
  if (performance.now() - lastChange > 700) showSettings(detail.settings);
  if (detail.move.mark) $("status").textContent = `saved ${detail.move.mark}`;
  if (detail.move.return) $("status").textContent = `restored ${detail.move.return}`;
});
player.addEventListener("refused", ({ detail }) => notice(detail.why));
player.addEventListener("impossible", ({ detail }) => { controls(false); notice(detail.why); $("status").textContent = "stopped"; });
player.addEventListener("lost", () => { $("status").textContent = "connection lost; reconnecting"; });
player.addEventListener("stopped", () => { controls(false); showRecording(false); $("status").textContent = "stopped"; setTimeout(list, 500); });
player.addEventListener("level", ({ detail }) => {
  $("level").value = Math.min(1, detail.seconds);
  $("buffered").textContent = `${Math.round(1000 * detail.seconds)} ms`;
  $("gaps").textContent = detail.gaps;
});
player.addEventListener("see", ({ detail }) => { $("pace").textContent = detail.pace.toFixed(1); });
player.addEventListener("first", ({ detail }) => { $("status").dataset.first = Math.round(detail.ms); });
player.addEventListener("recording", () => showRecording(true));
player.addEventListener("recorded", ({ detail }) => { showRecording(false); if (detail.name) notice(`Saved ${detail.name}, ${detail.seconds} s`); list(); });
player.addEventListener("sound", ({ detail }) => {
  if ($("seedview").hidden || outputPeaks.length > 400) return;
  const size = Math.round(player.rate / 80);
  for (let i = 0; i < detail.samples.length; i += size) {
    let most = 0;
    for (const v of detail.samples.subarray(i, i + size)) most = Math.max(most, Math.abs(v));
    outputPeaks.push(most);
  }
  drawPrompt();
});

function showRecording(on) {
  recording = on;
  $("record").textContent = on ? "stop recording" : "record";
  $("record").setAttribute("aria-pressed", String(on));
}

$("play").addEventListener("click", () => toggle().catch((error) => notice(`Playback failed: ${error.message}`)));
$("freeze").addEventListener("click", () => pause(!player.paused));
$("surprise").addEventListener("click", () => player.move({ surprise: true }));
let count = 0;
$("mark").addEventListener("click", () => player.move({ mark: `snapshot ${++count}` }));
$("record").addEventListener("click", () => player.record(!recording, $("format").value));
$("begin").addEventListener("change", promptChanged);
$("seed").addEventListener("change", promptChanged);
$("song").addEventListener("change", () => uploadPrompt($("song").files[0]));
for (const kind of ["dragover", "dragleave", "drop"])
  $("songbox").addEventListener(kind, (e) => {
    e.preventDefault();
    $("songbox").classList.toggle("over", kind === "dragover");
    if (kind === "drop") uploadPrompt(e.dataTransfer.files[0]);
  });

let peaks = [];
/** Shows the upload field or the waveform of the chosen prompt. */
async function promptChanged() {
  const begin = $("begin").value;
  $("songbox").hidden = begin !== "song";
  outputPeaks = [];
  if (begin === "perlin" || begin === "normal") {
    ({ peaks } = await request("GET", `/api/noise/${begin}?seed=${Number($("seed").value) || 0}`));
    showPrompt();
  } else $("seedview").hidden = true;
}

async function uploadPrompt(file) {
  if (!file) return;
  $("status").textContent = `uploading ${file.name}`;
  try {
    const found = await request("PUT", `/api/seeds/${encodeURIComponent(file.name)}`, file);
    ({ song: prompt, peaks } = found);
    $("status").textContent = `${file.name}: ${found.seconds.toFixed(1)} s; press play`;
    if (found.issues.length) notice(`${file.name}: ${found.issues.join("; ")}`);
    outputPeaks = [];
    showPrompt();
  } catch { $("status").textContent = "stopped"; }
}

function showPrompt() {
  $("seedview").hidden = false;
  drawPrompt();
}

function drawPrompt() {
  const canvas = $("seedcanvas"), g = canvas.getContext("2d"), { width, height } = canvas;
  const style = getComputedStyle(document.documentElement);
  g.clearRect(0, 0, width, height);
  const bars = (values, from, color) => {
    g.fillStyle = color;
    values.forEach((v, i) => { if (i < 400) g.fillRect(from + (i / 400) * (width / 2), (height / 2) * (1 - v), width / 800 + 0.3, Math.max(1, v * height)); });
  };
  bars(peaks, 0, style.getPropertyValue("--edge"));
  bars(outputPeaks, width / 2, style.getPropertyValue("--accent"));
}

/** Renders a recording again from its recipe, and compares the bytes. */
async function renderAgain(url, name) {
  notice(`Rendering ${name} again from its recipe …`);
  const response = await fetch(`${url}/again`, { method: "POST" });
  if (!response.ok) { notice((await response.json()).problem); return; }
  const [rendered, original] = await Promise.all([response.arrayBuffer(), fetch(url).then((r) => r.arrayBuffer())]);
  const [a, b] = [new Uint8Array(rendered), new Uint8Array(original)];
  notice(`${name}, rendered again: ${a.length === b.length && a.every((v, i) => v === b[i]) ? "the same bytes" : "different bytes"}.`);
}

async function list() {
  const found = await request("GET", "/api/recordings", undefined, { quiet: true }).catch(() => []);
  $("recordings").replaceChildren(...found.map((r) => {
    const url = `/api/recordings/${encodeURIComponent(r.name)}`;
    return make("li", {}, make("span", {}, `${r.name}, ${(r.bytes / 1e6).toFixed(1)} MB, ${r.model}, ${r.moves} control changes${r.recovered ? ", recovered after the studio was killed" : ""}`),
      make("audio", { controls: true, preload: "none", src: url, "aria-label": r.name }),
      make("a", { href: url, download: r.name }, "download"),
      make("a", { href: url.replace(/\.\w+$/, ".json"), download: r.name.replace(/\.\w+$/, ".json") }, "recipe"),
      make("button", { type: "button", onclick: () => renderAgain(url, r.name).catch(() => {}) }, "render again"),
      make("button", { type: "button", onclick: async () => { await request("DELETE", url); list(); } }, "remove"));
  }));
}

/** Opens the radio page with a model; playback of another model stops. */
export function open(name) {
  requestedModel = name;
  if (location.hash === "#radio") shown();
  else location.hash = "#radio";
}

function modelChanged() {
  player.stop();
  chosen = {};
  pad.show(current()?.told ? current().genres : [], "");
  $("mix").textContent = "–";
}

export async function shown() {
  models = await request("GET", "/api/models");
  fill($("model"), models.map((m) => m.name));
  list();
  if (requestedModel && requestedModel !== $("model").value && models.some((m) => m.name === requestedModel)) {
    $("model").value = requestedModel;
    modelChanged();
  }
  requestedModel = "";
  if (!player.playing && !("genre" in chosen)) pad.show(current()?.told ? current().genres : [], "");
}
addEventListener("themed", () => { pad.draw(); drawPrompt(); });
$("model").addEventListener("change", modelChanged);
controls(false);

// Recordings in, a model out: upload, queue, losses, samples.

import { $, ask, fill, make, minutes, notice } from "./app.js";
import { plain } from "./radio.js";

const cards = new Map();

function genreOf(file) { // the folder below the chosen one
  const parts = (file.webkitRelativePath || "").split("/");
  return parts.length > 2 ? plain(parts[1]) : "";
}

async function upload(files) {
  const collection = $("collection").value.trim();
  if (!collection) { notice("Give the collection a name first."); return; }
  const chosen = [...files].filter((f) => !f.name.startsWith("."));
  let done = 0, taken = 0, seconds = 0;
  for (const file of chosen) {
    $("uploading").textContent = `${++done} of ${chosen.length}: ${file.name}`;
    const genre = genreOf(file);
    const path = `/api/collections/${encodeURIComponent(collection)}/${encodeURIComponent(plain(file.name))}${genre ? `?genre=${encodeURIComponent(genre)}` : ""}`;
    try {
      const found = await ask("PUT", path, file, { quiet: true });
      taken += 1;
      seconds += found.seconds;
      $("uploaded").prepend(make("li", {}, `✓ ${file.name}`, make("span", { class: "small" }, `${minutes(found.seconds)}${genre ? `, ${genre}` : ""}`)));
    } catch (error) {
      $("uploaded").prepend(make("li", { class: "bad" }, make("span", { class: "bad" }, `✗ ${error.message}`)));
    }
  }
  $("uploading").textContent = `${taken} of ${chosen.length} accepted, ${minutes(seconds)} of sound; ${chosen.length - taken} refused.`;
  await collections();
  $("traincollection").value = collection;
}

async function collections() {
  const found = await ask("GET", "/api/collections");
  fill($("traincollection"), found.map((c) => c.name), found.map((c) => `${c.name} (${c.files} files${c.genres.length ? `, ${c.genres.join(", ")}` : ""})`));
}

for (const id of ["files", "folder"]) $(id).addEventListener("change", async () => { await upload($(id).files); $(id).value = ""; });

$("trainform").addEventListener("submit", async (e) => {
  e.preventDefault();
  const wish = { collection: $("traincollection").value, name: $("trainname").value.trim(), recipe: $("recipe").value, minutes: Number($("minutes").value) };
  await ask("POST", "/api/trainings", wish).then(() => watch(), () => {});
});

export function act(job, wish) {
  return make("button", { type: "button", onclick: () => ask("POST", `/api/jobs/${job.key}/${wish}`).then(() => { watch(); }, () => {}) }, wish);
}

const WISHES = { queued: ["pause", "stop"], running: ["pause", "stop"], paused: ["resume", "stop"], failed: ["resume", "forget"], stopped: ["resume", "forget"], done: ["forget"] };

function card(job) {
  let c = cards.get(job.key);
  if (!c) {
    c = { root: make("article", { class: "job" }), chart: make("div"), samples: make("div", { class: "row" }), text: make("p", {}), bar: make("progress", { max: 1, value: 0, "aria-label": "done" }), buttons: make("div", { class: "row" }), refused: make("details", {}), heard: "" };
    c.root.append(make("h3", {}, job.title), c.text, c.bar, c.buttons, c.chart, c.samples, c.refused);
    c.plot = new uPlot({
      width: 600, height: 200, title: "loss", scales: { x: { time: false } }, cursor: { show: true },
      axes: [{ stroke: () => ink(), label: "step" }, { stroke: () => ink() }],
      series: [{ label: "step" }, { label: "training", stroke: "#1f78b4", width: 1.5 }, { label: "held-out", stroke: "#d95f02", width: 2, spanGaps: true, points: { show: true } }],
    }, [[], [], []], c.chart);
    const drawing = c.chart.querySelector("canvas");
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", "Losses over steps: training and held-out");
    cards.set(job.key, c);
  }
  const left = job.state === "running" && job.left_s > 0 ? `, ${minutes(job.left_s)} left` : "";
  const rate = job.state === "running" && job.rate ? `, reads ${job.rate.toFixed(0)} s of sound a second` : "";
  c.text.textContent = `${job.state}${job.wish ? ` (will ${job.wish})` : ""}: ${job.about.recipe} on ${job.about.collection}, ${minutes(job.spent_s)} of ${job.about.minutes} min${left}${rate}${job.problem ? `. ${job.problem}` : ""}`;
  c.bar.value = job.done;
  const state = `${job.state}${job.wish}`;
  if (c.state !== state) {
    c.state = state;
    c.buttons.replaceChildren(...WISHES[job.state].map((w) => act(job, w)));
    if (job.state === "done") c.buttons.append(make("a", { href: "#radio" }, "hear it on the radio"));
  }
  const steps = [...new Set([...job.losses, ...job.validations].map(([s]) => s))].sort((a, b) => a - b);
  const of = (rows) => { const m = new Map(rows); return steps.map((s) => m.get(s) ?? null); };
  if (steps.length) c.plot.setData([steps, of(job.losses), of(job.validations)]);
  c.plot.setSize({ width: Math.max(280, Math.min(700, c.root.clientWidth - 30)), height: 200 });
  if (c.heard !== job.samples.join()) {
    c.heard = job.samples.join();
    c.samples.replaceChildren(...job.samples.map((s) => make("label", {}, s.replace(/\D+0*(\d+)\..*/, "step $1 "), make("audio", { controls: true, preload: "none", src: `/api/jobs/${job.key}/samples/${s}` }))));
  }
  if (job.refused.length && !c.refused.children.length)
    c.refused.append(make("summary", {}, `${job.refused.length} recordings were left out or kept in part`), make("ul", {}, ...job.refused.map((r) => make("li", {}, `${r.path}: ${r.reason} (${r.action})`))));
  return c.root;
}

function ink() { return getComputedStyle(document.documentElement).getPropertyValue("--ink"); }

let timer = null;
async function watch() {
  clearTimeout(timer);
  if ($("page-train").hidden) return;
  const jobs = (await ask("GET", "/api/jobs", undefined, { quiet: true }).catch(() => [])).filter((j) => j.kind === "train");
  const roots = jobs.map(card);
  const box = $("trainings");
  if (roots.length !== box.children.length || roots.some((r, i) => box.children[i] !== r)) box.replaceChildren(...roots);
  if (!jobs.length) box.textContent = "Nothing was trained here yet.";
  timer = setTimeout(watch, 1500);
}

export async function shown() {
  await collections();
  const recipes = await ask("GET", "/api/recipes");
  fill($("recipe"), Object.keys(recipes));
  if (!$("recipe").dataset.chosen) { $("recipe").value = "token-lstm"; $("recipe").dataset.chosen = "yes"; }
  watch();
}

// Training: uploads, the job queue, losses, audio samples.

import { $, request, fill, make, minutes, notice } from "./app.js";
import { open } from "./radio.js";

const cards = new Map();

/** Returns the path of a file below the chosen folder, as parts; the first folder is the genre. */
function pathOf(file) {
  const parts = (file.webkitRelativePath || file.name).split("/");
  return parts.length > 1 ? parts.slice(1) : parts;
}

async function upload(files) {
  const collection = $("collection").value.trim();
  if (!collection) { notice("Enter a name for the collection first."); return; }
  const chosen = [...files].filter((f) => !f.name.startsWith(".")), refused = [];
  let done = 0, accepted = 0, duplicates = 0, seconds = 0;
  for (const file of chosen) {
    $("uploading").textContent = `${++done} of ${chosen.length}: ${file.name}`;
    const parts = pathOf(file);
    const path = `/api/collections/${encodeURIComponent(collection)}/${parts.map(encodeURIComponent).join("/")}`;
    try {
      const found = await request("PUT", path, file, { quiet: true });
      if (found.already) duplicates += 1;
      else { accepted += 1; seconds += found.seconds; }
      const about = [minutes(found.seconds), ...(found.already ? ["already uploaded"] : []), ...found.issues];
      $("uploaded").prepend(make("li", {}, `✓ ${found.stored}`, make("span", { class: "small" }, about.join(", "))));
    } catch (error) {
      refused.push(error.message);
      $("uploaded").prepend(make("li", { class: "bad" }, make("span", { class: "bad" }, `✗ ${error.message}`)));
    }
  }
  $("uploading").textContent = `${accepted} of ${chosen.length} accepted, ${minutes(seconds)} of audio${duplicates ? `; ${duplicates} already uploaded` : ""}; ${refused.length} refused${refused.length ? `: ${refused.slice(0, 3).join("; ")}${refused.length > 3 ? " …" : ""}` : ""}.`;
  await collections();
  $("traincollection").value = collection;
}

async function collections() {
  const found = await request("GET", "/api/collections");
  fill($("traincollection"), found.map((c) => c.name), found.map((c) => `${c.name} (${c.files} files${c.genres.length ? `, ${c.genres.join(", ")}` : ""})`));
}

for (const id of ["files", "folder"]) $(id).addEventListener("change", async () => { await upload($(id).files); $(id).value = ""; });

$("trainform").addEventListener("submit", async (e) => {
  e.preventDefault();
  const training = { collection: $("traincollection").value, name: $("trainname").value.trim(), recipe: $("recipe").value, minutes: Number($("minutes").value) };
  await request("POST", "/api/trainings", training).then(() => watch(), () => {});
});

const LABELS = { forget: "remove" };

export function actionButton(job, action) {
  return make("button", { type: "button", onclick: () => request("POST", `/api/jobs/${job.key}/${action}`).then(() => { watch(); }, () => {}) }, LABELS[action] || action);
}

const ACTIONS = { queued: ["pause", "stop"], running: ["pause", "stop"], paused: ["resume", "stop"], failed: ["resume", "forget"], stopped: ["resume", "forget"], done: ["forget"] };

function card(job) {
  let c = cards.get(job.key);
  if (!c) {
    c = { root: make("article", { class: "job" }), chart: make("div"), samples: make("div", { class: "row" }), text: make("p", {}), bar: make("progress", { max: 1, value: 0, "aria-label": "done" }), buttons: make("div", { class: "row" }), refused: make("details", {}), sampleNames: "" };
    c.root.append(make("h3", {}, job.title), c.text, c.bar, c.buttons, c.chart, c.samples, c.refused);
    c.plot = new uPlot({
      width: 600, height: 200, title: "loss", scales: { x: { time: false } }, cursor: { show: true },
      axes: [{ stroke: () => ink(), label: "step" }, { stroke: () => ink() }],
      series: [{ label: "step" }, { label: "training", stroke: "#1f78b4", width: 1.5 }, { label: "validation", stroke: "#d95f02", width: 2, spanGaps: true, points: { show: true } }],
    }, [[], [], []], c.chart);
    const canvas = c.chart.querySelector("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Losses over steps: training and validation");
    cards.set(job.key, c);
  }
  const left = job.state === "running" && job.left_s > 0 ? `, ${minutes(job.left_s)} left` : "";
  const rate = job.state === "running" && job.rate ? `, ${job.rate.toFixed(0)} s of audio per second` : "";
  c.text.textContent = `${job.state}${job.action ? ` (will ${job.action})` : ""}: ${job.about.recipe} on ${job.about.collection}, ${minutes(job.spent_s)} of ${job.about.minutes} min${left}${rate}${job.problem ? `. ${job.problem}` : ""}`;
  c.bar.value = job.done;
  const state = `${job.state}${job.action}`;
  if (c.state !== state) {
    c.state = state;
    c.buttons.replaceChildren(...ACTIONS[job.state].map((action) => actionButton(job, action)));
    if (job.state === "done") c.buttons.append(make("a", { href: "#radio", onclick: (e) => { e.preventDefault(); open(job.about.name); } }, "play this model"));
  }
  const steps = [...new Set([...job.losses, ...job.validations].map(([s]) => s))].sort((a, b) => a - b);
  const of = (rows) => { const m = new Map(rows); return steps.map((s) => m.get(s) ?? null); };
  if (steps.length) c.plot.setData([steps, of(job.losses), of(job.validations)]);
  c.plot.setSize({ width: Math.max(280, Math.min(700, c.root.clientWidth - 30)), height: 200 });
  if (c.sampleNames !== job.samples.join()) {
    c.sampleNames = job.samples.join();
    c.samples.replaceChildren(...job.samples.map((s) => make("label", {}, s.replace(/\D+0*(\d+)\..*/, "step $1 "), make("audio", { controls: true, preload: "none", src: `/api/jobs/${job.key}/samples/${s}` }))));
  }
  if (job.refused.length && !c.refused.children.length)
    c.refused.append(make("summary", {}, `${job.refused.length} recordings were skipped or used in part`), make("ul", {}, ...job.refused.map((r) => make("li", {}, `${r.path}: ${r.reason} (${r.action})`))));
  return c.root;
}

/** Returns the card of a job whose description cannot be read. */
function damagedCard(job) {
  if (!cards.has(job.key)) cards.set(job.key, { root: make("article", { class: "job" }, make("h3", {}, job.title), make("p", { class: "bad" }, job.problem), actionButton(job, "forget")) });
  return cards.get(job.key).root;
}

function ink() { return getComputedStyle(document.documentElement).getPropertyValue("--ink"); }

let timer = null;
async function watch() {
  clearTimeout(timer);
  if ($("page-train").hidden) return;
  const all = await request("GET", "/api/jobs", undefined, { quiet: true }).catch(() => []);
  const jobs = all.filter((j) => j.kind === "train" || j.kind === "damaged");
  const roots = jobs.map((j) => (j.kind === "train" ? card(j) : damagedCard(j)));
  const box = $("trainings");
  if (roots.length !== box.children.length || roots.some((r, i) => box.children[i] !== r)) box.replaceChildren(...roots);
  if (!jobs.length) box.textContent = "No trainings yet.";
  timer = setTimeout(watch, 1500);
}

export async function shown() {
  await collections();
  const recipes = await request("GET", "/api/recipes");
  fill($("recipe"), Object.keys(recipes));
  if (!$("recipe").dataset.chosen) { $("recipe").value = "token-lstm"; $("recipe").dataset.chosen = "yes"; }
  watch();
}

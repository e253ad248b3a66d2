// Blind A/B tests, evaluation reports, comparison of two models.

import { $, request, fill, make } from "./app.js";

let reports = [];

$("duelform").addEventListener("submit", async (e) => {
  e.preventDefault();
  const box = $("duel");
  box.textContent = "generating both …";
  try {
    const { key } = await request("POST", "/api/duels", { a: $("duela").value, b: $("duelb").value, genre: $("duelgenre").value });
    const player = (side) => make("label", {}, `${side} `, make("audio", { controls: true, src: `/api/duels/${key}/${side}` }));
    const choose = (choice, text) => make("button", { type: "button", onclick: () => recordChoice(key, choice) }, text);
    box.replaceChildren(make("div", { class: "row" }, player("first"), player("second")),
      make("div", { class: "row" }, choose("first", "I prefer the first"), choose("second", "I prefer the second"), choose("alike", "no preference")));
  } catch { box.textContent = ""; }
});

async function recordChoice(key, choice) {
  const result = await request("POST", `/api/duels/${key}`, { choice }).catch(() => null);
  if (!result) return;
  $("duel").replaceChildren(make("p", { role: "status" }, `The first was ${result.first}, the second ${result.second}. Your choice: ${result.choice === "alike" ? "no preference" : `the ${result.choice}`}.`));
  tally();
}

async function tally() {
  const rows = await request("GET", "/api/duels");
  $("tally").hidden = !rows.length;
  $("tally").tBodies[0].replaceChildren(...rows.map((r) => make("tr", {}, ...[r.a, r.b, r.a_better, r.b_better, r.alike].map((v) => make("td", {}, String(v))))));
}

$("evalform").addEventListener("submit", async (e) => {
  e.preventDefault();
  await request("POST", "/api/evaluations", { model: $("evalmodel").value, collection: $("evalcollection").value, streams: Number($("streams").value), embedding: $("embedding").value }).then(watch, () => {});
});

function digits(v) { return v === null || v === undefined ? "–" : Math.abs(v) >= 1000 ? v.toFixed(0) : Number(v.toPrecision(3)).toString(); }

async function compare() {
  const chosen = ["left", "right"].map((id) => reports.find((r) => r.key === $(id).value)).filter(Boolean);
  if (!chosen.length) { $("compare").textContent = "No report yet."; return; }
  const found = await Promise.all(chosen.map((r) => request("GET", `/api/jobs/${r.key}/figures`)));
  const names = found[0].figures.map((f) => f.name);
  const cell = (report, name) => {
    const f = report.figures.find((x) => x.name === name);
    if (!f) return "–";
    const e = f.made;
    return e.low === null || e.low === undefined ? digits(e.value) : `${digits(e.value)} [${digits(e.low)} … ${digits(e.high)}]`;
  };
  $("compare").replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "metric"), ...chosen.map((r) => make("th", { scope: "col" }, r.title)), make("th", { scope: "col" }, "real music"))),
    make("tbody", {}, ...names.map((n) => make("tr", {}, make("th", { scope: "row" }, n), ...found.map((r) => make("td", {}, cell(r, n))), make("td", {}, digits(found[0].figures.find((f) => f.name === n).real?.value)))))),
  ...chosen.map((r) => make("details", {}, make("summary", {}, `full report: ${r.title}`), make("iframe", { src: `/api/jobs/${r.key}/report`, title: r.title, loading: "lazy" }))));
}
for (const id of ["left", "right"]) $(id).addEventListener("change", compare);

let timer = null;
async function watch() {
  clearTimeout(timer);
  if ($("page-judge").hidden) return;
  const jobs = (await request("GET", "/api/jobs", undefined, { quiet: true }).catch(() => [])).filter((j) => j.kind === "evaluate");
  const done = jobs.filter((j) => j.report);
  $("evaluations").replaceChildren(...jobs.filter((j) => !j.report).map((j) => make("p", { class: "job" }, `${j.title}: ${j.state} ${j.problem}`,
    ...(j.state === "running" ? [make("button", { type: "button", onclick: () => request("POST", `/api/jobs/${j.key}/stop`).then(watch, () => {}) }, "stop")] : []))));
  if (done.map((j) => j.key).join() !== reports.map((j) => j.key).join()) {
    reports = done;
    const names = reports.map((r) => r.key), labels = reports.map((r) => r.title);
    fill($("left"), names, labels);
    fill($("right"), ["", ...names], ["none", ...labels]);
    compare();
  }
  timer = setTimeout(watch, 2000);
}

export async function shown() {
  const models = (await request("GET", "/api/models")).filter((m) => !m.problem);
  for (const id of ["duela", "duelb", "evalmodel"]) fill($(id), models.map((m) => m.name));
  const genres = [...new Set(models.flatMap((m) => m.genres))];
  fill($("duelgenre"), ["", ...genres], ["any", ...genres]);
  const jobs = await request("GET", "/api/jobs");
  fill($("evalcollection"), [...new Set(jobs.filter((j) => j.kind === "train").map((j) => j.about.collection))]);
  tally();
  compare();
  watch();
}

// The course's live figures; the gates can be those of any token model.

import { $, request, fill } from "./app.js";

async function mount(root, name) {
  root.replaceChildren();
  const { mount: make } = await import(`/live/${name}.js`);
  await make(root);
}

async function gates() {
  const root = document.querySelector('[data-figure="gates"]');
  root.dataset.base = `/api/models/${encodeURIComponent($("gatesmodel").value)}/`;
  await mount(root, "gates");
}
$("gatesmodel").addEventListener("change", gates);

let done = false;
export async function shown() {
  const models = (await request("GET", "/api/models")).filter((m) => m.head === "depth");
  fill($("gatesmodel"), models.map((m) => m.name));
  if (done) return;
  done = true;
  for (const name of ["perceptron", "descent"]) await mount(document.querySelector(`[data-figure="${name}"]`), name);
  if (models.length) await gates();
}

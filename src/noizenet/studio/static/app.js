// The studio's page: navigation, error messages, requests to the server.

export const $ = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((c) => c !== null && c !== undefined));
  return made;
}

export function notice(text) {
  $("notice").textContent = text;
  clearTimeout(notice.timer);
  if (text) notice.timer = setTimeout(() => { $("notice").textContent = ""; }, 9000);
}

/** Sends a request to the server; an error is shown and thrown. */
export async function request(method, path, body, { quiet = false } = {}) {
  const options = { method };
  if (body instanceof Blob) options.body = body;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "content-type": "application/json" };
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    if (!quiet) notice("The studio does not respond; is it still running?");
    throw new Error("no response");
  }
  const type = response.headers.get("content-type") || "";
  const content = type.includes("json") ? await response.json() : await response.text();
  if (!response.ok) {
    const problem = content.problem || (typeof content === "string" ? content : "the request is not valid");
    if (!quiet) notice(problem);
    throw new Error(problem);
  }
  return content;
}

export function fill(select, names, labels = names) {
  const before = select.value;
  select.replaceChildren(...names.map((n, i) => make("option", { value: n }, labels[i])));
  if (names.includes(before)) select.value = before;
}

export function minutes(seconds) {
  const s = Math.round(seconds);
  return s < 90 ? `${s} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
}

const PAGES = ["radio", "train", "judge", "learn"];
const loaded = {};

function current() {
  return PAGES.includes(location.hash.slice(1)) ? location.hash.slice(1) : "radio";
}

/** Shows the page of the URL after its module has loaded, so that no control is visible before it works. */
async function show() {
  const page = current();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${page}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${document.querySelector(`nav a[href="#${page}"]`).textContent} · noizenet studio`;
  loaded[page] ??= import(`./${page}.js`);
  let module;
  try {
    module = await loaded[page];
  } catch {
    delete loaded[page];
    notice("The page did not load; is the studio still running?");
    return;
  }
  if (page !== current()) return;
  for (const section of document.querySelectorAll("[data-page]")) section.hidden = section.dataset.page !== page;
  module.shown();
}

function theme() {
  const stored = localStorage.getItem("theme");
  const dark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.classList.toggle("dark", dark);
  $("theme").setAttribute("aria-pressed", String(dark));
  dispatchEvent(new Event("themed"));
}

$("theme").addEventListener("click", () => {
  localStorage.setItem("theme", document.documentElement.classList.contains("dark") ? "light" : "dark");
  theme();
});
theme();
addEventListener("hashchange", show);
show();

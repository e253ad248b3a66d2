// Small helpers that the live figures share: elements, controls with labels, colours of the page.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  const made = ["svg", "line", "circle", "polyline", "polygon", "text", "g", "rect", "title"].includes(name)
    ? document.createElementNS(SVG, name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function button(text, act) {
  const made = element("button", { type: "button" }, text);
  made.addEventListener("click", act);
  return made;
}

/** A labelled slider; `act` is called with its number, at once and at each move. */
export function slider(text, { min, max, step, value, digits = 2 }, act) {
  const input = element("input", { type: "range", min, max, step, value, "aria-label": text });
  const shown = element("output", {});
  const update = () => {
    shown.textContent = Number(input.value).toFixed(digits);
    act(Number(input.value));
  };
  input.addEventListener("input", update);
  const made = element("label", {}, `${text} `, input, " ", shown);
  made.set = (number) => {
    input.value = number;
    shown.textContent = Number(number).toFixed(digits);
  };
  update();
  return made;
}

export function choice(text, options, act) {
  const input = element("select", { "aria-label": text }, ...options.map((o) => element("option", { value: o }, o)));
  input.addEventListener("change", () => act(input.value));
  return element("label", {}, `${text} `, input);
}

/** Says what changed, for those who cannot see it too. */
export function status() {
  return element("p", { class: "live-status", role: "status", "aria-live": "polite" });
}

/** Calls `act` with the place of pointer events on a drawing, in its own coordinates. */
export function place(event, drawing, width, height) {
  const box = drawing.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
}

export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

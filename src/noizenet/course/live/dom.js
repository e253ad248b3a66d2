// Helpers of the live figures: elements, labelled controls, pointer positions.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  const node = ["svg", "line", "circle", "polyline", "polygon", "text", "g", "rect", "title"].includes(name)
    ? document.createElementNS(SVG, name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export function button(text, onClick) {
  const node = element("button", { type: "button" }, text);
  node.addEventListener("click", onClick);
  return node;
}

/** A labelled slider; `onChange` is called with its number, immediately and at each change. */
export function slider(text, { min, max, step, value, digits = 2 }, onChange) {
  const input = element("input", { type: "range", min, max, step, value, "aria-label": text });
  const output = element("output", {});
  const update = () => {
    output.textContent = Number(input.value).toFixed(digits);
    onChange(Number(input.value));
  };
  input.addEventListener("input", update);
  const node = element("label", {}, `${text} `, input, " ", output);
  node.set = (number) => {
    input.value = number;
    output.textContent = Number(number).toFixed(digits);
  };
  update();
  return node;
}

export function choice(text, options, onChange) {
  const input = element("select", { "aria-label": text }, ...options.map((o) => element("option", { value: o }, o)));
  input.addEventListener("change", () => onChange(input.value));
  return element("label", {}, `${text} `, input);
}

/** A status line that screen readers announce when it changes. */
export function status() {
  return element("p", { class: "live-status", role: "status", "aria-live": "polite" });
}

/** The position of a pointer event in a drawing's coordinates. */
export function pointerPosition(event, drawing, width, height) {
  const box = drawing.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
}

export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

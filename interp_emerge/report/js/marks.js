// Elements, numbers and colours that all views share. Text is set as text: nothing that a name contains is markup.
const SHAPES = new Set(["svg", "g", "path", "line", "rect", "circle", "text", "title", "tspan", "polygon"]);

function make(tag, attributes, ...children) {
  const element = SHAPES.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Put new content into a room; the element with the same key keeps the focus.
function refill(room, ...content) {
  const active = document.activeElement;
  const key = room.contains(active) && active.dataset ? active.dataset.key : null;
  room.replaceChildren(...content);
  if (key) room.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

function number(value) {
  if (value === null || value === undefined) return "undefined";
  if (Number.isInteger(value)) return value.toLocaleString("en-US").replaceAll("-", "−");
  const text = Math.abs(value) < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return text.replaceAll("-", "−");
}

// A value with its interval, such as 0.93 [0.91, 0.95].
function withInterval(triple) {
  if (!triple || triple[0] === null) return "undefined";
  const [value, low, high] = triple;
  return low === null || high === null ? number(value) : `${number(value)} [${number(low)}, ${number(high)}]`;
}

function spaced(name) {
  return name.replace(/_/g, " ");
}

const GROUND = { light: [255, 255, 255], dark: [29, 35, 42] };
const HUES = { light: { above: [0, 90, 156], below: [196, 72, 0] }, dark: { above: [92, 182, 240], below: [255, 150, 70] } };

// The colour of a value between -1 and 1 as red, green and blue: the ground at 0, blue above it, orange below it.
function shade(part) {
  const mode = isDark() ? "dark" : "light";
  const [ground, hue] = [GROUND[mode], HUES[mode][part < 0 ? "below" : "above"]];
  const strength = Math.min(Math.abs(part), 1) ** 0.8;
  return ground.map((from, place) => Math.round(from + (hue[place] - from) * strength));
}

function luminance(colour) {
  const [r, g, b] = colour.map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// Black or white, whichever is easier to read on the colour.
function inkOn(colour) {
  return luminance(colour) > 0.179 ? "#000" : "#fff";
}

function short(text, most) {
  const letters = [...text];
  return letters.length > most ? letters.slice(0, most - 1).join("") + "…" : text;
}

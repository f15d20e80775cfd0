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

// A count, a step or a tick: whole numbers with commas, others with three digits.
function number(value) {
  if (value === null || value === undefined) return "undefined";
  const text = Number.isInteger(value) ? value.toLocaleString("en-US") : String(Number(value.toPrecision(3)));
  return text.replaceAll("-", "−");
}

const DECIMALS = 2;
const MOST_DECIMALS = 12;

// The decimals of a measured value and of the ends of its interval: more than two if all of them would show as zero.
// This is the rule of the page's tables and sentences.
function decimalsOf(...values) {
  const largest = Math.max(0, ...values.filter((value) => typeof value === "number").map(Math.abs));
  if (largest >= 0.5 * 10 ** -DECIMALS || largest < 10 ** -MOST_DECIMALS) return DECIMALS;
  return Math.max(DECIMALS, 1 - Number(largest.toExponential(1).split("e")[1]));
}

function measured(value, decimals = decimalsOf(value)) {
  if (value === null || value === undefined) return "undefined";
  const text = value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return /[1-9]/.test(text) ? text.replace("-", "−") : text.replace("-", "");
}

// A value with its interval, such as 0.93 [0.91, 0.95].
function withInterval(triple) {
  if (!triple || triple[0] === null) return "undefined";
  const decimals = decimalsOf(...triple);
  const [value, low, high] = triple.map((one) => measured(one, decimals));
  return triple[1] === null || triple[2] === null ? value : `${value} [${low}, ${high}]`;
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

// @ts-check
"use strict";
// The numbers of an attention view: read from the page's data, asked for by cell, and turned into colours.

/**
 * @typedef {object} Frame One model on one prompt, or its mean over pairs.
 * @property {string} label
 * @property {string} size
 * @property {number} step
 * @property {number} seed
 * @property {string[]} heads
 * @property {string[]} tokens
 * @property {number} queries Number of queries; they are the first of the tokens.
 * @property {[string, "floats" | "bytes", number][]} arrays
 * @property {number[]} [unit] What one part is worth, by head; below zero if bytes start at 127.
 * @property {number[]} [kinds] Which array of uniform weights a head has.
 * @property {Record<string, [string, number | null][]>} roles
 */
/** @typedef {Record<string, Float32Array | Uint8Array>} Numbers */
/** @typedef {{frames: Frame[], tops: Record<string, number>, signed: boolean, exact: boolean, beside: number | null, start: number}} Data */

/** @param {Place} place */
function weightsOf({ read, ground }) {
  /** @type {Data} */
  const data = JSON.parse(read("data"));
  /** @type {Map<number, Promise<Numbers>>} */
  const decoded = new Map();

  /** @param {number} at @returns {Promise<Numbers>} */
  function numbersOf(at) {
    if (!decoded.has(at)) decoded.set(at, decode(at));
    return /** @type {Promise<Numbers>} */ (decoded.get(at));
  }

  /** @param {number} at @returns {Promise<Numbers>} */
  async function decode(at) {
    const text = atob(read("weights-" + at));
    const packed = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place++) packed[place] = text.charCodeAt(place);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const content = await new Response(stream).arrayBuffer();
    /** @type {Numbers} */
    const found = {};
    let start = 0;
    for (const [name, kind, n] of data.frames[at].arrays) {
      found[name] = kind === "floats" ? new Float32Array(content, start, n) : new Uint8Array(content, start, n);
      start += found[name].byteLength;
    }
    return found;
  }

  /** The weight of a cell; NaN if it is undefined. @param {Frame} frame @param {Numbers} numbers @param {number} head @param {number} cell */
  function weight(frame, numbers, head, cell) {
    const stored = numbers.weights[head * frame.queries * frame.tokens.length + cell];
    if (!frame.unit) return stored;
    const unit = frame.unit[head];
    return stored === 255 ? NaN : unit < 0 ? (stored - 127) * -unit : stored * unit;
  }

  /** @param {Frame} frame @param {Numbers} numbers @param {string} name @param {number} head @param {number} cell */
  function beside(frame, numbers, name, head, cell) {
    const values = numbers[name];
    const row = name === "uniform" && frame.kinds ? frame.kinds[head] : head;
    return values ? values[row * frame.queries * frame.tokens.length + cell] : NaN;
  }

  /** @param {number} value */
  const shown = (value) => (Number.isNaN(value) ? "NaN" : value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : value.toFixed(3));

  function colours() {
    return ground.isDark()
      ? { plus: [86, 180, 233], minus: [240, 150, 80], missing: [255, 255, 255] }
      : { plus: [0, 114, 178], minus: [213, 94, 0], missing: [0, 0, 0] };
  }

  /** A colour as the four bytes of a pixel, for a weight as a share of the largest one. @param {number} share */
  function pixel(share) {
    const { plus, minus, missing } = colours();
    const [red, green, blue] = Number.isNaN(share) ? missing : share < 0 ? minus : plus;
    const alpha = Number.isNaN(share) ? 255 : Math.round(255 * Math.min(1, Math.abs(share)));
    return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }

  /** @param {HTMLCanvasElement} canvas @param {Frame} frame @param {Numbers} numbers @param {number} head */
  function paint(canvas, frame, numbers, head) {
    const [width, height] = [frame.tokens.length, frame.queries];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const top = data.tops[frame.heads[head]] || 1;
    const first = head * width * height;
    const stored = numbers.weights;
    if (frame.unit) {
      const unit = frame.unit[head];
      const known = Uint32Array.from({ length: 256 }, (_, code) => pixel(code === 255 ? NaN : (unit < 0 ? (127 - code) * unit : code * unit) / top));
      for (let cell = 0; cell < pixels.length; cell++) pixels[cell] = known[stored[first + cell]];
    } else {
      const known = Uint32Array.from({ length: 512 }, (_, share) => pixel((share - 256) / 255));
      const missing = pixel(NaN);
      for (let cell = 0; cell < pixels.length; cell++) {
        const share = stored[first + cell] / top;
        pixels[cell] = Number.isNaN(share) ? missing : known[256 + Math.round(255 * share)];
      }
    }
    context.putImageData(image, 0, 0);
  }

  /** A colour for a weight, as text for the CSSOM. @param {number} value @param {number} top @param {number} most */
  function tint(value, top, most) {
    const { plus, minus, missing } = colours();
    const colour = Number.isNaN(value) ? missing : value < 0 ? minus : plus;
    return `rgb(${colour.join(" ")} / ${Number.isNaN(value) ? 0.25 : ((most * Math.abs(value)) / (top || 1)).toFixed(3)})`;
  }

  /** @param {Frame} frame @param {Numbers} numbers @param {number} head @param {number} query */
  function strongest(frame, numbers, head, query) {
    const n = frame.tokens.length;
    let best = 0;
    for (let key = 1; key < n; key++) {
      if (Math.abs(weight(frame, numbers, head, query * n + key)) > Math.abs(weight(frame, numbers, head, query * n + best))) best = key;
    }
    return best;
  }

  return { data, numbersOf, weight, beside, shown, paint, tint, strongest };
}

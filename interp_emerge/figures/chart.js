// @ts-check
"use strict";
// Draws one Vega-Lite figure, in the colours of a light or a dark page. The library lies beside the figure, packed.

/** @typedef {{view: any, vgSpec: any, finalize: () => void}} Drawn What Vega-Embed gives. */

/**
 * Draws the figure, and again whenever its ground turns light or dark.
 * @param {Place} place @param {(library: string) => any} embedOf gives Vega-Embed from the library's text
 * @param {(drawn: Drawn) => Promise<void>} [onDrawn] is called after each drawing
 * @returns {Promise<() => void>} ends what is drawn
 */
async function drawFigure({ root, page, ground, read }, embedOf, onDrawn = async () => {}) {
  const LEGIBLE = 720; // pixels; a figure of 960 is then at three quarters of its size
  const room = /** @type {HTMLElement} */ (root.getElementById("drawing"));

  /** @param {string} text */
  async function unpacked(text) {
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  /**
   * The same figure with each light colour replaced by its dark one; the rows that it draws stay as they are.
   * @param {any} part @param {Record<string, string>} dark @returns {any}
   */
  function recoloured(part, dark) {
    if (typeof part === "string") return Object.hasOwn(dark, part) ? dark[part] : part;
    if (Array.isArray(part)) return part.map((one) => recoloured(one, dark));
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(
      Object.entries(part).map(([key, one]) => [key, key === "datasets" ? one : recoloured(one, dark)])
    );
  }

  /**
   * A figure that is a little too wide, as in most notebooks' cells, shrinks; one that could not be read then scrolls.
   * @param {SVGElement} svg
   */
  function fit(svg) {
    svg.style.maxWidth = "100%";
    svg.style.minWidth = Math.min(LEGIBLE, Number(svg.getAttribute("width"))) + "px";
    svg.style.height = "auto";
  }

  const { spec, dark, name } = JSON.parse(read("figure"));
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    ast: true, // no expression is compiled, as the page's security policy demands
    defaultStyle: false,
    tooltip: { disableDefaultStyle: root === document, offsetX: 14, offsetY: 14 }, // beyond an element's own style
    actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
    downloadFileName: name,
  };
  /** @type {Drawn | null} */
  let drawn = null;

  /** @param {any} embed */
  async function draw(embed) {
    page.dataset.state = "drawing";
    if (drawn) drawn.finalize();
    drawn = /** @type {Drawn} */ (await embed(room, ground.isDark() ? recoloured(spec, dark) : spec, options));
    fit(/** @type {SVGElement} */ (room.querySelector("svg.marks")));
    // Vega gives some groups of marks the role of a picture, but no name.
    for (const group of room.querySelectorAll("g[role=graphics-symbol]:not([aria-label])")) group.setAttribute("role", "presentation");
    reachNodes(room);
    await onDrawn(drawn);
    page.dataset.state = "drawn";
    page.dataset.ms = String(Math.round(performance.now()));
  }

  try {
    const embed = await embedOf(await unpacked(read("library")));
    let drawing = draw(embed);
    ground.onTurn(() => { drawing = drawing.then(() => draw(embed)); });
    await drawing;
  } catch (error) {
    page.dataset.state = "failed";
    room.textContent = "This figure could not be drawn: " + /** @type {Error} */ (error).message;
    console.error(error);
  }
  return () => drawn?.finalize();
}

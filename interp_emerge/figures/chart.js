"use strict";
// Draws one Vega-Lite figure, in the colours of a light or a dark page. The library lies in the page, packed.
(async function () {
  const LEGIBLE = 720; // pixels; a figure of 960 is then at three quarters of its size
  const page = document.documentElement;
  const read = (id) => document.getElementById(id).textContent;

  async function unpacked(text) {
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  // The same figure with each light colour replaced by its dark one; the rows that it draws stay as they are.
  function recoloured(part, dark) {
    if (typeof part === "string") return Object.hasOwn(dark, part) ? dark[part] : part;
    if (Array.isArray(part)) return part.map((one) => recoloured(one, dark));
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(
      Object.entries(part).map(([key, one]) => [key, key === "datasets" ? one : recoloured(one, dark)])
    );
  }

  // A figure that is a little too wide, as in most notebooks' cells, shrinks; one that could not be read then scrolls.
  function fit(svg) {
    svg.style.maxWidth = "100%";
    svg.style.minWidth = Math.min(LEGIBLE, svg.getAttribute("width")) + "px";
    svg.style.height = "auto";
  }

  const { spec, dark, name } = JSON.parse(read("figure"));
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    ast: true, // no expression is compiled, as the page's security policy demands
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true, offsetX: 14, offsetY: 14 },
    actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
    downloadFileName: name,
  };
  let drawn = null;

  async function draw() {
    page.dataset.state = "drawing";
    if (drawn) drawn.finalize();
    drawn = await vegaEmbed("#drawing", Ground.isDark() ? recoloured(spec, dark) : spec, options);
    const room = document.getElementById("drawing");
    fit(room.querySelector("svg.marks"));
    // Vega gives some groups of marks the role of a picture, but no name.
    for (const group of room.querySelectorAll("g[role=graphics-symbol]:not([aria-label])")) group.setAttribute("role", "presentation");
    reachNodes(room);
    page.dataset.state = "drawn";
    page.dataset.ms = String(Math.round(performance.now()));
  }

  try {
    const library = document.createElement("script");
    library.textContent = await unpacked(read("library"));
    document.head.append(library);
    let drawing = draw();
    Ground.onTurn(() => { drawing = drawing.then(draw); });
    await drawing;
  } catch (error) {
    page.dataset.state = "failed";
    document.getElementById("drawing").textContent = "This figure could not be drawn: " + error.message;
    console.error(error);
  }
})();

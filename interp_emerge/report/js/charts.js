// Draws figures from the JSON beside them: those in sight, others when their tab is chosen or their fold is opened.
const chartOptions = {
  mode: "vega-lite",
  renderer: "svg",
  ast: true, // no expression is compiled, as the page's security policy demands
  defaultStyle: false,
  tooltip: { disableDefaultStyle: true, offsetX: 14, offsetY: 14 },
  actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
  i18n: { SVG_ACTION: "SVG", PNG_ACTION: "PNG" },
};

// What replaces the colours of the figures on a dark ground.
const DARK_FOR = JSON.parse(document.getElementById("palette").textContent);

function darkened(spec) {
  if (typeof spec === "string") return DARK_FOR[spec.toLowerCase()] || spec;
  if (Array.isArray(spec)) return spec.map(darkened);
  if (spec === null || typeof spec !== "object") return spec;
  return Object.fromEntries(Object.entries(spec).map(([key, part]) => [key, key === "datasets" ? part : darkened(part)]));
}

async function draw(drawing) {
  if (drawing.dataset.state) return;
  drawing.dataset.state = "drawing";
  const payload = JSON.parse(document.getElementById(drawing.dataset.payload).textContent);
  try {
    if (drawing.dataset.kind === "chart") {
      const name = drawing.dataset.name.replace(/[^\w]+/g, "-");
      await vegaEmbed(drawing, isDark() ? darkened(payload) : payload, { ...chartOptions, downloadFileName: name });
      for (const group of drawing.querySelectorAll("g[role=graphics-symbol]:not([aria-label])")) group.setAttribute("role", "presentation");
      reachNodes(drawing);
    } else {
      CircuitsVis.render(drawing.id, CircuitsVis.AttentionHeads, payload);
      await named(drawing, payload.attentionHeadNames);
    }
    drawing.dataset.state = "drawn";
  } catch (error) {
    drawing.dataset.state = "failed";
    drawing.textContent = "This figure could not be drawn: " + error.message;
    console.error(error);
  }
}

// CircuitsVis draws a moment later, and gives its pictures no names.
async function named(drawing, heads) {
  for (let tries = 0; tries < 60 && drawing.querySelectorAll("canvas").length < heads.length; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 16));
  }
  drawing.querySelectorAll("canvas").forEach((canvas, place) => {
    canvas.setAttribute("aria-label", heads[place] ? "Attention of " + heads[place] : "The chosen head, enlarged");
  });
  for (const heading of drawing.querySelectorAll("h1, h2, h3, h4")) heading.setAttribute("role", "presentation");
}

function inSight(element) {
  for (let fold = element.closest("details"); fold; fold = fold.parentElement.closest("details")) {
    if (!fold.open) return false;
  }
  return !element.closest("[hidden]");
}

async function drawVisible(root) {
  for (const drawing of root.querySelectorAll(".drawing")) if (inSight(drawing)) await draw(drawing);
}

function redrawCharts() {
  for (const drawing of document.querySelectorAll(".drawing.chart[data-state=drawn]")) {
    delete drawing.dataset.state;
    drawing.replaceChildren();
  }
  drawVisible(document);
}

function tabs(group) {
  const key = "tab." + group.id;
  const buttons = [...group.querySelectorAll("[role=tab]")];
  const panels = buttons.map((button) => document.getElementById(button.getAttribute("aria-controls")));
  async function show(place) {
    buttons.forEach((button, other) => {
      button.setAttribute("aria-selected", String(place === other));
      button.tabIndex = place === other ? 0 : -1;
      panels[other].hidden = place !== other;
    });
    await drawVisible(panels[place]);
  }
  function pick(place) {
    choose(key, place || null);
    return show(place);
  }
  buttons.forEach((button, place) => {
    button.addEventListener("click", () => pick(place));
    button.addEventListener("keydown", (event) => {
      const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const target = (to + buttons.length) % buttons.length;
      pick(target);
      buttons[target].focus();
    });
  });
  follow(() => show(Math.max(0, Math.min(Math.round(Number(chosen.get(key))) || 0, buttons.length - 1))));
}

"use strict";
// Draws every figure from the JSON beside it. A figure behind a tab is drawn when its tab is first chosen.
(function () {
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    ast: true, // no expression is compiled, as the page's security policy demands
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true, offsetX: 14, offsetY: 14 },
    actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
    i18n: { SVG_ACTION: "SVG", PNG_ACTION: "PNG" },
  };

  async function draw(drawing) {
    if (drawing.dataset.state) return;
    drawing.dataset.state = "drawing";
    const payload = JSON.parse(document.getElementById(drawing.dataset.payload).textContent);
    try {
      if (drawing.dataset.kind === "chart") {
        const name = drawing.dataset.name.replace(/[^\w]+/g, "-");
        await vegaEmbed(drawing, payload, { ...options, downloadFileName: name });
      } else {
        CircuitsVis.render(drawing.id, CircuitsVis.AttentionHeads, payload);
        const names = payload.attentionHeadNames.map((head) => "Attention of " + head);
        drawing.querySelectorAll("canvas").forEach((canvas, place) => {
          canvas.setAttribute("aria-label", names[place] || "The chosen head, enlarged");
        });
      }
      drawing.dataset.state = "drawn";
    } catch (error) {
      drawing.dataset.state = "failed";
      drawing.textContent = "This figure could not be drawn: " + error.message;
      console.error(error);
    }
  }

  async function drawVisible(root) {
    for (const drawing of root.querySelectorAll(".drawing")) {
      if (!drawing.closest("[hidden]")) await draw(drawing);
    }
  }

  function tabs(group) {
    const buttons = [...group.querySelectorAll("[role=tab]")];
    const panels = buttons.map((button) => document.getElementById(button.getAttribute("aria-controls")));
    async function choose(chosen) {
      buttons.forEach((button, place) => {
        button.setAttribute("aria-selected", String(place === chosen));
        button.tabIndex = place === chosen ? 0 : -1;
        panels[place].hidden = place !== chosen;
      });
      await drawVisible(panels[chosen]);
    }
    buttons.forEach((button, place) => {
      button.addEventListener("click", () => choose(place));
      button.addEventListener("keydown", (event) => {
        const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: buttons.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        const target = (to + buttons.length) % buttons.length;
        choose(target);
        buttons[target].focus();
      });
    });
    buttons.forEach((button, place) => (panels[place].hidden = place !== 0));
    return choose;
  }

  async function start() {
    document.documentElement.dataset.state = "drawing";
    for (const group of document.querySelectorAll("[data-tabs]")) tabs(group)(0);
    await drawVisible(document);
    document.documentElement.dataset.state = "drawn";
  }
  start();
})();

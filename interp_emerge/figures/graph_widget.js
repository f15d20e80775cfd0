// @ts-check
"use strict";
// A circuit's graph as a widget: below which score edges are hidden, what is searched for, and which nodes are pinned.

/** @param {{model: Model, el: HTMLElement}} given */
function render({ model, el }) {
  const SIGNALS = /** @type {Record<string, string>} */ ({ threshold: "least", search: "sought" });
  const PINS = "pinned_store";
  const place = placeIn(model, el, STYLE, { library: LIBRARY });
  const python = talkOver(model, [...Object.keys(SIGNALS), "pinned"], () => { if (view) take(); });
  /** @type {any} */
  let view = null;
  let unit = ""; // what Vega-Lite calls the marks that are clicked

  /** The rows of a selection as a click makes them, one for each node. @param {string[]} nodes */
  const pinsOf = (nodes) => nodes.map((node) => ({ unit, fields: view.signal("pinned_tuple_fields"), values: [node] }));

  /** @returns {string[]} */
  const pinned = () => view.data(PINS).map((/** @type {any} */ row) => row.values[0]);

  async function take() {
    for (const [name, signal] of Object.entries(SIGNALS)) if (has(signal)) view.signal(signal, model.get(name));
    if (JSON.stringify(pinned()) !== JSON.stringify(model.get("pinned"))) view.data(PINS, pinsOf(model.get("pinned")));
    await view.runAsync();
  }

  /** A graph of few edges has no slider. @param {string} signal */
  const has = (signal) => signal in view.getState({ signals: (/** @type {string} */ name) => name === signal, data: () => false }).signals;

  async function follow(/** @type {Drawn} */ drawn) {
    view = drawn.view;
    const click = drawn.vgSpec.signals.find((/** @type {any} */ one) => one.name === "pinned_tuple").on[0].update;
    unit = click.match(/unit: "([^"]*)"/)[1];
    await take();
    for (const [name, signal] of Object.entries(SIGNALS)) {
      if (has(signal)) view.addSignalListener(signal, (/** @type {string} */ _, /** @type {unknown} */ value) => python.tell({ [name]: value }));
    }
    view.addDataListener(PINS, () => python.tell({ pinned: pinned() }));
  }

  const drawing = drawFigure(place, embedOf, follow);
  return async () => {
    python.end();
    place.end();
    (await drawing)();
  };
}

/** Vega-Embed, once for all widgets of a page. @param {string} library @returns {Promise<any>} */
function embedOf(library) {
  const here = /** @type {any} */ (window);
  const load = async () => {
    const GLOBALS = ["vegaEmbed", "vega", "vegaLite"];
    const before = GLOBALS.map((name) => here[name]);
    const address = URL.createObjectURL(new Blob([library], { type: "text/javascript" }));
    await import(address);
    URL.revokeObjectURL(address);
    const embed = here.vegaEmbed;
    GLOBALS.forEach((name, at) => { here[name] = before[at]; }); // the notebook's own, if it has some
    return embed;
  };
  here.interpEmergeVega ??= load();
  return here.interpEmergeVega;
}

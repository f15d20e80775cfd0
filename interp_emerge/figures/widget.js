// @ts-check
"use strict";
// A drawing as a live widget: in an element of a notebook, its state shared with Python.

/** @typedef {{get: (name: string) => any, set: (name: string, value: unknown) => void, save_changes: () => void, on: (event: string, told: () => void) => void, off: (event: string, told: () => void) => void}} Model */

/**
 * A place in the element, in which neither the notebook's style nor the drawing's reaches the other.
 * @param {Model} model @param {HTMLElement} element @param {string} style @param {Record<string, string>} [more] further parts
 * @returns {Place & {end: () => void}}
 */
function placeIn(model, element, style, more = {}) {
  const page = document.createElement("div");
  const root = page.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(style);
  root.adoptedStyleSheets = [sheet];
  const parts = { ...model.get("parts"), ...more };
  root.innerHTML = parts.main; // a template of this package; in it, whatever a prompt or a name holds is escaped
  element.append(page);
  const ground = groundOf(page);
  const look = () => {
    const around = page.isConnected && groundAround(element);
    if (around && around !== page.dataset.ground) ground.turn(around);
  };
  const placed = new ResizeObserver(look);
  const themed = new MutationObserver(look);
  placed.observe(page);
  for (const one of [document.documentElement, document.body]) themed.observe(one, { attributes: true });
  const end = () => {
    placed.disconnect();
    themed.disconnect();
    ground.end();
  };
  return { root, page, ground, read: (name) => parts[name] ?? "", end };
}

/**
 * Tells Python what the reader changes, and hears what Python changes.
 * @param {Model} model @param {string[]} names of the values @param {() => void} take is called when Python changes one of them
 */
function talkOver(model, names, take) {
  let telling = false; // a model hears its own changes too
  const hear = () => { if (!telling) take(); };
  for (const name of names) model.on("change:" + name, hear);
  return {
    /** @param {Record<string, unknown>} values */
    tell(values) {
      const changed = Object.entries(values).filter(([name, value]) => JSON.stringify(model.get(name)) !== JSON.stringify(value));
      telling = true;
      for (const [name, value] of changed) model.set(name, value);
      telling = false;
      if (changed.length) model.save_changes();
    },
    end() {
      for (const name of names) model.off("change:" + name, hear);
    },
  };
}

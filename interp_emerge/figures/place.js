// @ts-check
"use strict";
// Where a drawing stands. Here it is a whole page, which may lie in the cell of a notebook; widget.js makes it an element.

/**
 * @typedef {object} Place
 * @property {Document | ShadowRoot} root Holds the elements.
 * @property {HTMLElement} page Carries the state of the drawing, and its ground.
 * @property {Ground} ground
 * @property {(name: string) => string} read Gives a part of the data as text.
 */

/** @returns {Place} */
function wholePage() {
  const page = document.documentElement;
  const ground = groundOf(page);
  addEventListener("message", ({ source, data }) => {
    if (source === parent && (data?.ground === "light" || data?.ground === "dark")) ground.turn(data.ground);
  });
  if (parent !== window) parent.postMessage({ ask: "ground" }, "*"); // ground_around.js answers
  return { root: document, page, ground, read: (name) => (document.getElementById(name)?.textContent || "").trim() };
}

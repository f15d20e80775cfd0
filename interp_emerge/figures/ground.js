// @ts-check
"use strict";
// Light or dark: as the notebook around this page looks, which ground_around.js answers, else as the reader's system prefers.
const Ground = (() => {
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const page = document.documentElement;
  /** @type {(() => void)[]} */
  const listeners = [];
  const isDark = () => (page.dataset.ground ? page.dataset.ground === "dark" : preferred.matches);

  /** @param {string} [ground] */
  function turn(ground) {
    const before = isDark();
    if (ground) page.dataset.ground = ground;
    if (!ground || isDark() !== before) for (const listener of listeners) listener();
  }

  preferred.addEventListener("change", () => { if (!page.dataset.ground) turn(); });
  addEventListener("message", ({ source, data }) => {
    if (source === parent && (data?.ground === "light" || data?.ground === "dark")) turn(data.ground);
  });
  if (parent !== window) parent.postMessage({ ask: "ground" }, "*");

  return { isDark, onTurn: (/** @type {() => void} */ listener) => void listeners.push(listener) };
})();

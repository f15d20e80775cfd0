// @ts-check
"use strict";
// Light or dark: as what surrounds a drawing is said to be, else as the reader's system prefers.

/** @typedef {{isDark: () => boolean, turn: (around: string) => void, onTurn: (listener: () => void) => void, end: () => void}} Ground */

/** @param {HTMLElement} page carries what is around it, for its style @returns {Ground} */
function groundOf(page) {
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  /** @type {(() => void)[]} */
  const listeners = [];
  const isDark = () => (page.dataset.ground ? page.dataset.ground === "dark" : preferred.matches);
  const tell = () => { for (const listener of listeners) listener(); };
  const follow = () => { if (!page.dataset.ground) tell(); };
  preferred.addEventListener("change", follow);
  return {
    isDark,
    turn(around) {
      const before = isDark();
      page.dataset.ground = around;
      if (isDark() !== before) tell();
    },
    onTurn: (listener) => void listeners.push(listener),
    end: () => preferred.removeEventListener("change", follow),
  };
}

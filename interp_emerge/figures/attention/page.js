// @ts-check
"use strict";
// Draws one attention view from the numbers of numbers.js. All text goes through textContent, all styles through the CSSOM: the page's policy allows
// no other script, no inline style and no request.

/** @typedef {{frame: number, head: string, beside: number, other: string, token: number, layer: string, heads: string, find: string}} State */

/**
 * Draws once `go` says what.
 * @param {Place} place @param {(chosen: URLSearchParams) => void} keep is told the whole state at each change
 */
function attentionView(place, keep) {
  const RANKED = 10;
  const { root, page, ground } = place;
  /** @param {string} id @returns {HTMLElement} */
  const byId = (id) => /** @type {HTMLElement} */ (root.getElementById(id));
  const { data, numbersOf, weight, beside, shown, paint, tint, strongest } = weightsOf(place);
  /** @type {State} */
  const state = { frame: 0, head: "", beside: -1, other: "", token: -1, layer: "", heads: "", find: "" };
  let pointed = -1; // the token under the pointer or focus; -1 for none
  let turn = 0; // counts updates, so that an outdated one stops

  /**
   * @template {keyof HTMLElementTagNameMap} Name
   * @param {Name} name @param {Record<string, string>} [attributes] @param {(Node | string)[]} children
   * @returns {HTMLElementTagNameMap[Name]}
   */
  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  /** The head that is asked for, or the first one in a model that lacks it. @param {Frame} frame */
  const headOf = (frame) => (frame.heads.includes(state.head) ? state.head : frame.heads[0]);

  // The heads, small.
  const grid = byId("heads");
  /** @type {HTMLButtonElement[]} */
  let small = [];
  let listed = "";

  /** @param {Frame} frame */
  function listHeads(frame) {
    const names = JSON.stringify([frame.heads, frame.roles]);
    if (names === listed) return;
    listed = names;
    small = frame.heads.map((head) => {
      const roles = (frame.roles[head] || []).map(([role, score]) => `${role} ${score === null ? "undefined" : shown(score)}`);
      const button = element("button", { type: "button", class: "head", "data-head": head }, element("canvas", { "aria-hidden": "true" }), element("span", {}, head));
      if (roles.length) button.append(element("small", {}, roles.join(", ")));
      button.addEventListener("click", () => change({ head }));
      return button;
    });
    grid.replaceChildren(...small);
  }

  /** @param {Frame} frame */
  function filterHeads(frame) {
    const chosen = headOf(frame);
    const words = state.heads.toLowerCase().split(/[\s,]+/).filter(Boolean);
    let n = 0;
    for (const button of small) {
      const head = button.dataset.head || "";
      const text = (button.textContent || "").toLowerCase();
      const kept = (!state.layer || head.startsWith(state.layer + ".")) && (!words.length || words.some((word) => text.includes(word)));
      button.hidden = !kept;
      n += kept ? 1 : 0;
      button.setAttribute("aria-pressed", String(head === chosen));
      button.tabIndex = -1;
    }
    const reached = small.find((button) => !button.hidden && button.dataset.head === chosen) || small.find((button) => !button.hidden);
    if (reached) reached.tabIndex = 0;
    byId("count").textContent = `${n} of ${frame.heads.length} heads`;
  }

  /** Draw the small patterns in pieces of a few milliseconds. @param {Frame} frame @param {Numbers} numbers @param {number} mine */
  async function paintHeads(frame, numbers, mine) {
    let begun = performance.now();
    for (let at = 0; at < small.length; at++) {
      paint(/** @type {HTMLCanvasElement} */ (small[at].firstChild), frame, numbers, at);
      if (performance.now() - begun < 25) continue;
      await new Promise((resolve) => setTimeout(resolve));
      if (mine !== turn) return;
      begun = performance.now();
    }
    page.dataset.state = "drawn";
  }

  grid.addEventListener("keydown", (event) => {
    const seen = small.filter((button) => !button.hidden);
    const at = seen.indexOf(/** @type {HTMLButtonElement} */ (root.activeElement));
    const wide = seen.findIndex((button) => button.offsetTop > seen[0].offsetTop);
    const columns = wide < 0 ? seen.length : wide;
    /** @type {Record<string, number>} */
    const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: seen.length - 1 };
    const to = seen[moves[event.key]];
    if (at < 0 || !to) return;
    event.preventDefault();
    to.focus();
    change({ head: to.dataset.head });
  });

  // The chosen head, large; with a second model beside it, twice.
  /** @param {number} place */
  function makePane(place) {
    const title = element("h2");
    const roles = element("p", { class: "roles" });
    const pick = element("select", { "aria-label": "Head of the second model" });
    const canvas = element("canvas", { role: "img" });
    const [row, column] = [element("div", { class: "cross" }), element("div", { class: "cross" })];
    const matrix = element("div", { class: "matrix" }, canvas, row, column);
    const strip = element("div", { class: "strip", role: "group", "aria-label": "Tokens" });
    const tables = element("div", { class: "tables" });
    const pane = element("article", {}, title, roles, pick, element("div", { class: "both" }, matrix, strip), tables);
    pick.hidden = place === 0;
    pick.addEventListener("change", () => change({ other: pick.value }));
    /** @type {{frame: Frame, numbers: Numbers, head: number} | null} */
    let at = null;
    /** @type {HTMLButtonElement[]} */
    let tokens = [];
    let written = "";

    /** @param {MouseEvent} event */
    function cellUnder(event) {
      const box = canvas.getBoundingClientRect();
      const x = Math.floor(((event.clientX - box.left) / box.width) * canvas.width);
      const y = Math.floor(((event.clientY - box.top) / box.height) * canvas.height);
      return x >= 0 && y >= 0 && x < canvas.width && y < canvas.height ? [y, x] : null;
    }
    canvas.addEventListener("pointermove", (event) => {
      const cell = cellUnder(event);
      if (cell) point(cell[0], cell[1]);
    });
    canvas.addEventListener("pointerleave", () => point(-1));
    canvas.addEventListener("click", (event) => {
      const cell = cellUnder(event);
      if (cell) change({ token: cell[0] });
    });

    /** @param {Frame} frame @param {Numbers} numbers @param {number} head */
    function show(frame, numbers, head) {
      at = { frame, numbers, head };
      const name = frame.heads[head];
      title.textContent = `${name} · ${frame.label}`;
      roles.textContent = (frame.roles[name] || []).map(([role, score]) => `${role} ${score === null ? "undefined" : shown(score)}`).join(" · ");
      const options = place ? frame.heads.map((one) => element("option", { value: one }, one)) : [];
      pick.replaceChildren(...options);
      pick.value = name;
      paint(canvas, frame, numbers, head);
      canvas.setAttribute("aria-label", `Attention of ${name}: rows are queries, columns are keys. The tokens beside it give the numbers.`);
      const side = Math.max(3, Math.min(26, Math.floor(380 / frame.tokens.length)));
      matrix.style.width = `${side * frame.tokens.length}px`;
      matrix.style.height = `${side * frame.queries}px`;
      if (written !== JSON.stringify(frame.tokens)) {
        written = JSON.stringify(frame.tokens);
        tokens = frame.tokens.map((token, index) => {
          const button = element("button", { type: "button", class: "token", title: token, "data-token": String(index) }, element("bdi", {}, token || "(empty)"));
          button.setAttribute("aria-label", `${index}: ${token}`);
          button.addEventListener("pointerenter", () => point(index));
          button.addEventListener("pointerleave", () => point(-1));
          button.addEventListener("focus", () => point(index));
          button.addEventListener("click", () => change({ token: state.token === index ? -1 : index }));
          return button;
        });
        strip.replaceChildren(...tokens);
      }
      mark();
    }

    strip.addEventListener("keydown", (event) => {
      const here = tokens.indexOf(/** @type {HTMLButtonElement} */ (root.activeElement));
      const moves = /** @type {Record<string, number>} */ ({ ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tokens.length - 1 });
      if (event.key === "Escape") change({ token: -1 });
      const to = tokens[moves[event.key]];
      if (here < 0 || !to) return;
      event.preventDefault();
      to.focus();
    });

    /** Colour the tokens and list the numbers of the active one. @param {number} key the key under the pointer */
    function mark(key = -1) {
      if (!at) return;
      const { frame, numbers, head } = at;
      const active = Math.min(pointed >= 0 ? pointed : state.token >= 0 ? state.token : frame.queries - 1, frame.tokens.length - 1);
      const n = frame.tokens.length;
      const top = data.tops[frame.heads[head]];
      const words = state.find.toLowerCase();
      tokens.forEach((button, index) => {
        const out = active < frame.queries ? weight(frame, numbers, head, active * n + index) : 0;
        const into = index < frame.queries ? weight(frame, numbers, head, index * n + active) : 0;
        button.style.backgroundColor = tint(out, top, 0.6);
        button.style.boxShadow = `inset 0 -4px 0 ${tint(into, top, 1)}`;
        button.classList.toggle("active", index === active);
        button.classList.toggle("found", words !== "" && frame.tokens[index].toLowerCase().includes(words));
        button.setAttribute("aria-pressed", String(index === state.token));
        button.tabIndex = index === active ? 0 : -1;
      });
      [row, column].forEach((line) => line.classList.toggle("on", active < n));
      row.style.top = `${(100 * active) / frame.queries}%`;
      row.style.height = `${active < frame.queries ? 100 / frame.queries : 0}%`;
      column.style.left = `${(100 * active) / n}%`;
      column.style.width = `${100 / n}%`;
      /** @param {number} index @returns {[number, number]} */
      const from = (index) => [active * n + index, index];
      /** @param {number} index @returns {[number, number]} */
      const to = (index) => [index * n + active, index];
      const sides = [];
      if (active < frame.queries) sides.push(ranked(`“${frame.tokens[active]}” (${active}) attends to`, frame.tokens.map((_, index) => from(index))));
      sides.push(ranked(`“${frame.tokens[active]}” (${active}) is attended to by`, frame.tokens.slice(0, frame.queries).map((_, index) => to(index))));
      tables.replaceChildren(...sides);
      if (place) return;
      const best = key >= 0 ? key : active < frame.queries ? strongest(frame, numbers, head, active) : -1;
      byId("readout").textContent = best < 0 ? `${frame.heads[head]}: “${frame.tokens[active]}” (${active}) is no query`
        : `${frame.heads[head]}: “${frame.tokens[active]}” (${active}) → “${frame.tokens[best]}” (${best}) ${shown(weight(frame, numbers, head, active * n + best))}`;
    }

    /** @param {string} caption @param {[number, number][]} cells each with the token at its other end */
    function ranked(caption, cells) {
      const { frame, numbers, head } = /** @type {NonNullable<typeof at>} */ (at);
      const sized = cells.map(([cell, token]) => ({ cell, token, value: weight(frame, numbers, head, cell) }));
      const rows = sized.filter(({ value }) => value !== 0)
        .sort((one, two) => (Number.isNaN(two.value) ? 1 : 0) - (Number.isNaN(one.value) ? 1 : 0) || Math.abs(two.value) - Math.abs(one.value))
        .slice(0, RANKED);
      const columns = ["token", "weight", ...(numbers.low ? ["95% interval"] : []), ...(numbers.uniform ? ["if uniform"] : [])];
      const table = element("table", {}, element("caption", {}, caption),
        element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name)))));
      const body = element("tbody");
      for (const { cell, token, value } of rows) {
        const line = element("tr", {}, element("td", {}, element("bdi", {}, frame.tokens[token]), ` (${token})`),
          element("td", { "data-value": String(value), "data-token": String(token) }, shown(value)));
        if (numbers.low) line.append(element("td", {}, `${shown(beside(frame, numbers, "low", head, cell))} to ${shown(beside(frame, numbers, "high", head, cell))}`));
        if (numbers.uniform) line.append(element("td", {}, shown(beside(frame, numbers, "uniform", head, cell))));
        body.append(line);
      }
      if (!rows.length) body.append(element("tr", {}, element("td", { colspan: String(columns.length) }, "nothing")));
      table.append(body);
      return table;
    }

    return { pane, show, mark, focus: (/** @type {number} */ index) => tokens[index]?.focus() };
  }

  const panes = [makePane(0), makePane(1)];
  byId("panes").append(panes[0].pane, panes[1].pane);

  /** @param {number} token @param {number} [key] */
  function point(token, key = -1) {
    if (pointed === token && key < 0) return;
    pointed = token;
    for (const pane of panes) pane.mark(key);
  }

  // Controls.
  const controls = byId("controls");
  /** @type {(() => void)[]} */
  const refreshed = [];

  /** @param {string} label @param {HTMLElement} input @param {...HTMLElement} more */
  const labelled = (label, input, ...more) => controls.append(element("label", {}, element("span", {}, label), input, ...more));

  /** @param {string} name @param {(string | number)[]} values @param {() => number} where @param {(place: number) => void} go */
  function slider(name, values, where, go) {
    const input = element("input", { type: "range", min: "0", max: String(values.length - 1), step: "1", "data-axis": name });
    const output = element("output");
    input.addEventListener("input", () => go(Number(input.value)));
    labelled(name, input, output);
    refreshed.push(() => {
      input.value = String(where());
      input.setAttribute("aria-valuetext", String(values[where()]));
      output.textContent = String(values[where()]);
    });
  }

  function makeSliders() {
    const { frames } = data;
    if (frames.length < 2) return;
    const places = new Set(frames.map((frame) => JSON.stringify([frame.size, frame.step, frame.seed])));
    if (places.size < frames.length) {
      slider("model", frames.map((frame) => frame.label), () => state.frame, (frame) => change({ frame }));
      return;
    }
    for (const axis of /** @type {const} */ (["size", "step", "seed"])) {
      const values = [...new Set(frames.map((frame) => frame[axis]))];
      if (axis !== "size") values.sort((one, two) => Number(one) - Number(two));
      if (values.length < 2) continue;
      slider(axis, values, () => values.indexOf(frames[state.frame][axis]), (place) => {
        const now = frames[state.frame];
        /** How far a frame is from where the other sliders stand. @param {Frame} frame */
        const distance = (frame) => (axis !== "size" && frame.size !== now.size ? 1e15 : 0) + (axis !== "seed" && frame.seed !== now.seed ? 1e13 : 0)
          + (axis !== "step" ? Math.abs(frame.step - now.step) : 0);
        const nearest = frames.filter((frame) => frame[axis] === values[place]).sort((one, two) => distance(one) - distance(two))[0];
        change({ frame: frames.indexOf(nearest) });
      });
    }
  }

  /** @param {string} label @param {"layer" | "heads" | "find"} field @param {HTMLInputElement | HTMLSelectElement} input */
  function bind(label, field, input) {
    input.addEventListener("input", () => change({ [field]: input.value }));
    labelled(label, input);
    refreshed.push(() => { if (input.value !== state[field]) input.value = state[field]; });
  }

  function makeControls() {
    makeSliders();
    const layers = [...new Set(data.frames.flatMap((frame) => frame.heads.map((head) => head.split(".")[0])))];
    bind("layer", "layer", element("select", {}, element("option", { value: "" }, "all"), ...layers.map((layer) => element("option", { value: layer }, layer))));
    bind("heads", "heads", element("input", { type: "search", placeholder: "name or role", size: "12" }));
    const find = element("input", { type: "search", placeholder: "text of a token", size: "12" });
    bind("find token", "find", find);
    find.addEventListener("keydown", (event) => {
      const words = state.find.toLowerCase();
      if (event.key !== "Enter" || !words) return;
      event.preventDefault();
      const { tokens } = data.frames[state.frame];
      const after = tokens.map((_, index) => (state.token + 1 + index) % tokens.length);
      const next = after.find((index) => tokens[index].toLowerCase().includes(words));
      if (next !== undefined) change({ token: next });
    });
    if (data.frames.length < 2) return;
    const second = element("select", {}, element("option", { value: "-1" }, "none"), ...data.frames.map((frame, at) => element("option", { value: String(at) }, frame.label)));
    second.addEventListener("change", () => change({ beside: Number(second.value) }));
    labelled("beside", second);
    refreshed.push(() => { second.value = String(state.beside); });
  }

  // State, as it stands in an address.
  /** @param {URLSearchParams} asked */
  function take(asked) {
    const number = (/** @type {string} */ name, /** @type {number} */ otherwise, /** @type {number} */ end) => {
      const given = Number.parseInt(asked.get(name) ?? "", 10);
      return given >= 0 && given < end ? given : otherwise;
    };
    state.frame = number("frame", data.start, data.frames.length);
    state.beside = asked.has("beside") ? number("beside", -1, data.frames.length) : data.beside ?? -1;
    state.token = number("token", -1, data.frames[state.frame].tokens.length);
    for (const field of /** @type {const} */ (["head", "other", "layer", "heads", "find"])) state[field] = asked.get(field) ?? "";
  }

  function chosen() {
    const kept = new URLSearchParams();
    for (const [name, value] of Object.entries(state)) {
      if (value !== "" && value !== -1) kept.set(name, String(value));
      else if (name === "beside" && data.beside !== null) kept.set(name, "-1");
    }
    return kept;
  }

  /** @param {Partial<State>} wanted */
  function change(wanted) {
    Object.assign(state, wanted);
    return update();
  }

  async function update() {
    const mine = ++turn;
    page.dataset.state = "drawing";
    keep(chosen());
    const frame = data.frames[state.frame];
    const head = headOf(frame);
    const [numbers, others] = await Promise.all([numbersOf(state.frame), state.beside >= 0 ? numbersOf(state.beside) : null]);
    if (mine !== turn) return;
    listHeads(frame);
    filterHeads(frame);
    panes[0].show(frame, numbers, frame.heads.indexOf(head));
    panes[1].pane.hidden = !others;
    if (others) {
      const second = data.frames[state.beside];
      panes[1].show(second, others, second.heads.indexOf(second.heads.includes(state.other) ? state.other : headOf(second)));
    }
    const top = data.tops[head];
    byId("legend").textContent = (data.signed ? `Blue: up to ${shown(top)}. Orange: down to ${shown(-top)}.` : `Colour: 0 to ${shown(top)}.`)
      + " Background: what the token attends to. Bar below: what attends to it. Undefined numbers are NaN."
      + (data.exact ? "" : ` Numbers are within ${(Math.abs((frame.unit || [0])[frame.heads.indexOf(head)]) / 2).toPrecision(1)} of the exact ones.`);
    for (const refresh of refreshed) refresh();
    await paintHeads(frame, numbers, mine);
  }

  /** @param {unknown} error */
  function fail(error) {
    page.dataset.state = "failed";
    byId("readout").textContent = `This view could not be drawn: ${error}`;
    console.error(error);
  }

  makeControls();
  ground.onTurn(() => update());

  return {
    go: (/** @type {URLSearchParams} */ asked) => {
      take(asked);
      return update().catch(fail);
    },
  };
}

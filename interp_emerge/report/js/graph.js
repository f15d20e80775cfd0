// The circuit as a graph, from the embedding at the bottom to the logits on top. Places stay while steps change.
const INPUTS = { q: "queries", k: "keys", v: "values", m: "MLP input", o: "logits" };

function partsOf(node) {
  const group = supernodeOf(node);
  if (group) return { node, kind: "fold", layer: group.layer, index: 0, rank: 3 * group.layer + 1 };
  const match = /^(?:a(\d+)\.(h|kv)(\d+)|m(\d+)|embed|logits)$/.exec(node);
  if (!match) return { node, rank: 1e6, index: 0, kind: "other" };
  if (match[1]) return { node, kind: match[2] === "h" ? "head" : "kv", layer: +match[1], index: +match[3], rank: 3 * +match[1] + (match[2] === "h") };
  if (match[4]) return { node, kind: "mlp", layer: +match[4], index: 0, rank: 3 * +match[4] + 2 };
  return { node, kind: node, index: 0, rank: node === "embed" ? -1 : 1e7 };
}

// The node that a reader belongs to, and which of its inputs it is.
function targetOf(reader) {
  const match = /^(.*)\.([qkv])$/.exec(reader);
  if (match) return { node: match[1], input: match[2] };
  return { node: reader, input: reader === "logits" ? "o" : "m" };
}

// The edges of the last step's circuit, and those of earlier circuits that are gone by then.
function edgesOf(run) {
  return [...run.edges, ...run.former];
}

// What an edge is at a step: "now", "later", "gone", "noise" (its final effect gives no threshold), or
// "unknown" (not measured). An edge of an earlier circuit is there where it is in the step's circuit. Once it has left,
// it is "gone" if its effect is below half of the last one that it had in a circuit, and "outgrown" if others are larger.
function stateOf(edge, place, atLast) {
  if (edge.of) {
    const states = edge.of.map((one) => stateOf(one, place, atLast));
    return ["now", "gone", "outgrown", "later", "noise", "unknown"].find((state) => states.includes(state));
  }
  if (edge.within) {
    const last = lastWithin(edge, place);
    if (last === place) return "now";
    if (last < 0) return "later";
    if (!edge.effects[place]) return "unknown";
    return edge.effects[place][0] / edge.effects[last][0] < 0.5 ? "gone" : "outgrown";
  }
  if (!edge.effects) return atLast ? "now" : "unknown";
  const half = edge.half;
  if (half === null || half === undefined) return !edge.effects[place] ? "unknown" : atLast ? "now" : "noise";
  const reached = (value) => value !== null && (half < 0 ? value[0] <= half : value[0] >= half);
  if (!edge.effects[place]) return "unknown";
  if (reached(edge.effects[place])) return "now";
  return edge.effects.slice(0, place).some(reached) ? "gone" : "later";
}

function weightOf(edge, place) {
  if (edge.of) {
    const known = edge.of.map((one) => weightOf(one, place)).filter((weight) => weight !== null);
    return known.length ? known.reduce((sum, weight) => sum + weight, 0) : null;
  }
  return edge.effects ? (edge.effects[place] ? edge.effects[place][0] : null) : edge.score;
}

// The last step, up to a place, at which an edge of an earlier circuit was in the step's circuit; -1 if there is none.
function lastWithin(edge, place) {
  return edge.within.lastIndexOf(true, place);
}

// The sign of an edge that is not there: that of its final effect, or of the last one that it had in a circuit.
function isNegative(edge, place, state) {
  if (state === "now") return weightOf(edge, place) < 0;
  return (edge.within ? weightOf(edge, edge.within.lastIndexOf(true)) : edge.score) < 0;
}

function largestOf(edge) {
  if (edge.of) {
    const steps = Math.max(1, ...edge.of.map((one) => (one.effects || []).length));
    return Math.max(...Array.from({ length: steps }, (_, place) => Math.abs(weightOf(edge, place) ?? 0)));
  }
  return Math.max(0, ...(edge.effects || []).filter(Boolean).map((value) => Math.abs(value[0])), edge.effects ? 0 : Math.abs(edge.score));
}

// The strongest edges of a run, judged over all of its steps, so that the choice does not change with the step.
function strongest(edges, most) {
  return [...edges].sort((a, b) => largestOf(b) - largestOf(a)).slice(0, most);
}

function places(edges, width) {
  const nodes = new Map();
  for (const edge of edges) for (const name of [edge.writer, targetOf(edge.reader).node]) nodes.set(name, partsOf(name));
  const ranks = [...new Set([...nodes.values()].map((node) => node.rank))].sort((a, b) => a - b);
  const row = Math.max(22, Math.min(64, 400 / Math.max(ranks.length - 1, 1)));
  const tall = row < 34 ? 9 : 13; // half the height of a box; in narrow rows its role is told by its colour alone
  const height = row * (ranks.length - 1) + 44;
  const [wide, aside] = [width - 66, width - 34];
  for (const rank of ranks) {
    const own = [...nodes.values()].filter((node) => node.rank === rank).sort((a, b) => a.index - b.index);
    own.forEach((node, place) => {
      node.x = node.kind === "mlp" ? aside : ((place + 0.5) / own.length) * wide;
      node.half = node.kind === "mlp" ? 21 : Math.min(29, wide / own.length / 2 - 2);
      node.y = height - 22 - ranks.indexOf(rank) * row;
    });
  }
  return { nodes, height, row, tall };
}

function curveOf(edge, { nodes, row, tall }) {
  const [from, { node, input }] = [nodes.get(edge.writer), targetOf(edge.reader)];
  const to = nodes.get(node);
  const port = { q: -0.6, k: 0, v: 0.6, m: 0, o: 0 }[input] * to.half;
  const [x0, y0, x1, y1] = [from.x, from.y - tall, to.x + port, to.y + tall];
  const rise = y0 - y1;
  const bend = Math.min(Math.max(rise / row - 0.6, 0) * 9, 34) * (x0 + x1 < from.half * 8 ? -1 : 1);
  return `M${x0},${y0}C${x0 + bend},${y0 - rise * 0.45} ${x1 + bend},${y1 + rise * 0.45} ${x1},${y1}`;
}

function graph(room, { edges, folded, opened, sought, place, atLast, steps, rolesOf, within, head, onHead, onFold }) {
  const width = Math.max(room.clientWidth, 280);
  const layout = places(edges, width);
  const { nodes, height, tall } = layout;
  const most = Math.max(...edges.map(largestOf)) || 1;
  const drawing = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": `Circuit at step ${steps[place]}` });
  const touching = new Map();
  const drawn = [...edges].sort((a, b) => Math.abs(weightOf(a, place) ?? 0) - Math.abs(weightOf(b, place) ?? 0));
  for (const edge of drawn) {
    const state = stateOf(edge, place, atLast);
    const now = weightOf(edge, place);
    const shown = state === "now" ? Math.abs(now) : largestOf(edge);
    const { node, input } = targetOf(edge.reader);
    const sign = isNegative(edge, place, state) ? " negative" : "";
    const line = make("path", {
      class: `edge ${input} ${state}${sign}`, d: curveOf(edge, layout), "stroke-width": (0.7 + 5.5 * (shown / most)).toFixed(2),
    });
    const [from, to] = [edge.writer, edge.reader].map(shortName);
    line.append(make("title", {}, `${from} → ${to}: ${effectText(edge, place, state, steps)}`));
    for (const name of [edge.writer, node]) touching.set(name, [...(touching.get(name) || []), line]);
    drawing.append(line);
  }
  const found = [...nodes.keys()].filter((name) => isSought(name, rolesOf, folded, sought));
  function point(name) {
    const names = name ? [name] : found;
    drawing.classList.toggle("pointed", names.length > 0);
    for (const lines of touching.values()) for (const line of lines) line.classList.remove("touched");
    for (const one of names) for (const line of touching.get(one) || []) line.classList.add("touched");
  }
  for (const node of nodes.values()) {
    if (node.kind === "fold") {
      const members = folded.get(node.node);
      const { role } = supernodeOf(node.node);
      const known = members.flatMap((member) => rolesOf(member)).filter((one) => one.role === role && one.share !== null);
      const share = known.reduce((sum, one) => sum + one.share, 0) / Math.max(known.length, 1);
      drawing.append(supernodeBox(node, { role, share, tall, members, isFound: found.includes(node.node), point, onFold }));
      continue;
    }
    const roles = rolesOf(node.node);
    const chosenHead = node.node === head;
    const outside = within(node.node) ? [] : ["not in the circuit of the last step"];
    const isHead = node.kind === "head";
    const box = make("g", {
      class: `node ${node.kind}${roles.some((one) => one.share === null) ? " unfollowed" : ""}${outside.length ? " outside" : ""}${chosenHead ? " chosen" : ""}${found.includes(node.node) ? " found" : ""}`, transform: `translate(${node.x},${node.y})`,
      "data-key": "node-" + node.node, ...(isHead ? { tabindex: 0, role: "button", "aria-pressed": chosenHead } : { role: "img" }),
      "aria-label": [node.node, ...outside, ...roles.map(roleWords)].join(", "),
    });
    if (roles.length + outside.length) box.append(make("title", {}, `${node.node}: ${[...outside, ...roles.map(roleWords)].join(", ")}`));
    box.append(make("rect", { class: "box", x: -node.half, y: -tall, width: 2 * node.half, height: 2 * tall, rx: 5 }));
    const strip = (2 * node.half) / Math.max(roles.length, 1); // each role has its part of the box
    roles.forEach(({ role, share }, nth) =>
      box.append(make("rect", { class: `fill ${role}`, x: strip * nth - node.half, y: -tall, width: strip, height: 2 * tall, rx: roles.length > 1 ? 2 : 5, "fill-opacity": fillOf(share) }))
    );
    box.append(make("text", { "text-anchor": "middle", y: roles.length && tall > 9 ? -1 : 4 }, node.node));
    if (roles.length && tall > 9) box.append(make("text", { class: "tag", "text-anchor": "middle", y: 10 }, tagOf(roles[0].role, roles.length)));
    box.addEventListener("pointerenter", () => point(node.node));
    box.addEventListener("pointerleave", () => point(null));
    box.addEventListener("focus", () => box.matches(":focus-visible") && point(node.node));
    box.addEventListener("blur", () => point(null));
    if (isHead) {
      box.addEventListener("click", () => onHead(node.node));
      box.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        onHead(node.node);
      });
    }
    drawing.append(box);
  }
  for (const [name, members] of opened) {
    const first = members.map((member) => nodes.get(member)).find(Boolean);
    if (first) drawing.append(foldSign(name, members, first, tall, onFold));
  }
  point(null);
  refill(room, drawing);
  return found.length;
}

function shortName(name) {
  const [, node, input] = /^(.*?)(\.[qkv])?$/.exec(name);
  const group = supernodeOf(node);
  return group ? `${spaced(group.role)} heads${input || ""}` : name;
}

function onPress(element, act) {
  element.addEventListener("click", act);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  });
}

// Some heads as one node; the sign that folds them again has the same key, so that it takes over the focus.
function supernodeBox(node, { role, share, tall, members, isFound, point, onFold }) {
  const box = make("g", {
    class: `node fold${isFound ? " found" : ""}`, transform: `translate(${node.x},${node.y})`, tabindex: 0, role: "button",
    "data-key": "node-" + node.node, "aria-expanded": "false", "aria-label": nodeWords(node.node, new Map([[node.node, members]])),
  });
  const shape = { x: -node.half, y: -tall, width: 2 * node.half, height: 2 * tall, rx: 5 };
  box.append(make("title", {}, members.join(", ")), make("rect", { class: "box", ...shape, x: 4 - node.half, y: -tall - 4 }), make("rect", { class: "box", ...shape }));
  box.append(make("rect", { class: `fill ${role}`, ...shape, "fill-opacity": fillOf(share) }));
  box.append(make("text", { "text-anchor": "middle", y: tall > 9 ? -1 : 4 }, `${members.length} heads`));
  if (tall > 9) box.append(make("text", { class: "tag", "text-anchor": "middle", y: 10 }, tagOf(role, 1)));
  box.addEventListener("pointerenter", () => point(node.node));
  box.addEventListener("pointerleave", () => point(null));
  box.addEventListener("focus", () => box.matches(":focus-visible") && point(node.node));
  box.addEventListener("blur", () => point(null));
  onPress(box, () => onFold(node.node));
  return box;
}

function foldSign(name, members, node, tall, onFold) {
  const { role } = supernodeOf(name);
  const sign = make("g", {
    class: "node sign", transform: `translate(${node.x + node.half - 2},${node.y - tall + 1})`, tabindex: 0, role: "button",
    "data-key": "node-" + name, "aria-expanded": "true", "aria-label": `Fold ${members.length} heads, ${spaced(role)}: ${members.join(", ")}`,
  });
  sign.append(make("circle", { class: "box", r: 7 }), make("text", { "text-anchor": "middle", y: 4 }, "−"));
  onPress(sign, () => onFold(name));
  return sign;
}

const TAGS = { previous_token: "previous", induction: "induction", duplicate_token: "duplicate", copying: "copying" };

// What stands below a head's name: its first role, and how many more it plays.
function tagOf(role, n) {
  return (TAGS[role] || short(spaced(role), 6)) + (n > 1 ? ` +${n - 1}` : "");
}

// How much of its colour a role has got; the style says how strong the whole is.
function fillOf(share) {
  return Math.max(0, Math.min(share ?? 0, 1)).toFixed(2);
}

function roleWords({ role, share }) {
  return `${spaced(role)} ${share === null ? "(at the last step; not followed before)" : `${Math.round(100 * share)}% of its last value`}`;
}

// Steps in words: up to four by name, more by their ends.
function stepWords(steps) {
  const names = steps.map(number);
  if (steps.length === 1) return `step ${names[0]}`;
  return steps.length > 4 ? `${steps.length} steps from ${names[0]} to ${names.at(-1)}` : `steps ${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function effectText(edge, place, state, steps) {
  if (edge.of) {
    const known = edge.of.filter((one) => weightOf(one, place) !== null).length;
    const part = known === edge.of.length ? "" : `; ${edge.of.length - known} more are not measured`;
    return `effect ${known ? measured(weightOf(edge, place)) : "not measured"}, the sum over ${known} edges${part}`;
  }
  if (edge.within) {
    const last = lastWithin(edge, place);
    const then = last === place || last < 0 ? "" : `, at step ${number(steps[last])} with an effect of ${withInterval(edge.effects[last])}`;
    const words = { now: "", later: ", not there yet", gone: ", vanished", outgrown: ", outgrown by others", unknown: "" }[state];
    return `effect ${withInterval(edge.effects[place])}${words}; in the circuit of ${stepWords(steps.filter((_, at) => edge.within[at]))}${then}; not in that of the last step`;
  }
  const now = edge.effects ? withInterval(edge.effects[place]) : measured(edge.score);
  const half = edge.half === null || edge.half === undefined ? "" : `; half of its last effect is ${measured(edge.half)}`;
  const words = { now: "", later: ", not there yet", gone: ", vanished", noise: ", its last effect is within noise", unknown: ", not measured at this step" }[state];
  return `effect ${now}${words}${half}`;
}

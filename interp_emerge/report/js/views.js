// The explorer's four views: each draws one choice of size, seed, step, ability and head.
const CURVED = ["previous_token", "induction", "duplicate_token"]; // roles whose scores are fractions, as accuracy is

function showCurves(data, at, part, pick) {
  const { run, ability, metric } = at;
  const about = data.abilities.find((one) => one.name === ability);
  const isShare = metric === "accuracy";
  const ticks = run.steps.map((step) => ({ at: Math.log1p(step), name: number(step), step }));
  const over = (values) => ticks.map((tick, place) => ({ at: tick.at, name: `at step ${tick.name}`, value: values && values[place] }));
  const lines = [{ name: spaced(ability), kind: "ability", band: true, points: over(run.curves[ability]?.[metric]) }];
  const within = isWithin(run);
  if (isShare && ability === data.subject) {
    const first = ticks[0].step === 0 && ticks.length > 1 ? { at: ticks[0].at, words: "heads, untrained" } : null;
    for (const role of CURVED) {
      const heads = (run.plays[role] || []).filter((name) => run.roles[role]?.[name] && (within(name) || name === at.head));
      if (!heads.length) continue;
      const head = heads.includes(at.head) ? at.head : heads[0];
      lines.push({ name: `${head} ${TAGS[role]}`, kind: role, start: first, points: over(run.roles[role][head]) });
    }
  }
  if (isShare) lines.push({ name: `chance ${measured(about.chance)}`, kind: "chance", level: about.chance, points: [] });
  const [from, to] = isShare ? [0, 1] : [undefined, undefined];
  curves(part("steps"), {
    lines, ticks, place: Math.log1p(at.step), unit: isShare ? "fraction" : spaced(metric), from, to, names: true, height: 180,
    label: `${spaced(ability)} over training at ${run.size}: ${withInterval(run.curves[ability]?.[metric]?.[at.place])} at step ${at.step}`,
    onPick: (tick) => pick("step", tick.step),
  });

  const ends = data.runs.map((one) => ({ run: one, value: one.curves[ability]?.[metric]?.[one.steps.length - 1] }));
  const firsts = ends.filter((end, place) => ends.findIndex((other) => other.run.size === end.run.size) === place);
  const placed = firsts.every((end) => end.run.parameters > 0);
  const x = (one) => (placed ? Math.log(one.run.parameters) : firsts.findIndex((other) => other.run.size === one.run.size));
  const point = (end) => ({ at: x(end), name: `at ${end.run.size}, seed ${end.run.seed}, last step`, value: end.value, here: end.run === run });
  const several = firsts.length < ends.length;
  const means = firsts.map((end) => {
    const own = ends.filter((other) => other.run.size === end.run.size && other.value);
    const mean = own.reduce((sum, other) => sum + other.value[0], 0) / own.length;
    const value = !own.length ? null : own.length === 1 ? own[0].value : [mean, null, null];
    return { ...point(end), name: `at ${end.run.size}, last step`, value, here: several ? false : end.run === run };
  });
  const overSizes = [{ name: several ? "mean of seeds" : spaced(ability), kind: "ability", points: means }];
  if (several) overSizes.push({ name: "each seed", kind: "others", joined: false, points: ends.map(point) });
  if (isShare) overSizes.push({ name: `chance ${measured(about.chance)}`, kind: "chance", level: about.chance, points: [] });
  part("ability-title").textContent = `${spaced(ability)} over training`;
  part("sizes-figure").hidden = firsts.length < 2;
  if (firsts.length < 2) return;
  curves(part("sizes"), {
    lines: overSizes, ticks: firsts.map((end) => ({ at: x(end), name: end.run.size, size: end.run.size })), place: x({ run }),
    unit: isShare ? "fraction" : spaced(metric), from, to, names: true, height: 150,
    label: `${spaced(ability)} at the last step of each size`, onPick: (tick) => pick("size", tick.size),
  });
}

// Whether a node belongs to the circuit of the last step.
function isWithin(run) {
  const nodes = new Set(run.edges.flatMap((edge) => [edge.writer, targetOf(edge.reader).node]));
  return (node) => !nodes.size || nodes.has(node);
}

// The roles that a node plays at the last step, and which part of its last score it has reached at a step; null where
// that was not measured. Copying comes last: heads that copy mostly play another role too.
function rolesAt(run, place) {
  const last = run.steps.length - 1;
  const known = new Map();
  function found(node) {
    const end = (role) => run.roles[role]?.[node]?.[last]?.[0] ?? run.last_roles[role]?.[node]?.[0] ?? 0;
    const rank = (role) => (role === "copying" ? -Infinity : end(role));
    const own = Object.keys(run.plays).filter((role) => run.plays[role].includes(node));
    return own.sort((a, b) => rank(b) - rank(a)).map((role) => {
      const values = run.roles[role]?.[node];
      const now = values ? values[place]?.[0] : place === last ? end(role) : undefined;
      return { role, share: now === undefined || !end(role) ? null : now / end(role) };
    });
  }
  return (node) => {
    if (!known.has(node)) known.set(node, found(node));
    return known.get(node);
  };
}

// The verdict on a circuit, with the step that it is about.
function verdictOf({ step, verdict }) {
  return `Verdict at step ${number(step)}: ${verdict}.`;
}

function showGraph(data, at, part, pick) {
  const { run } = at;
  const none = !run.edges.length;
  part("graph-key").hidden = none;
  const whole = edgesOf(run);
  part("top").closest("label").hidden = none || whole.length <= 10;
  if (none) {
    const why = run.circuit ? `No circuit at ${run.size}. ${verdictOf(run.circuit)}` : `No circuit was sought in seed ${run.seed} of ${run.size}.`;
    part("graph-note").textContent = "";
    refill(part("graph"), make("p", { class: "empty" }, why));
    return;
  }
  const top = part("top");
  top.min = Math.min(10, whole.length);
  top.max = whole.length;
  top.value = at.top;
  part("top-shown").textContent = at.top === whole.length ? `all ${number(at.top)}` : `${number(at.top)} of ${number(whole.length)}`;
  const { n_edges: n, n_graph_edges: all, faithfulness, ci_low: low, ci_high: high } = run.circuit;
  const kept = withInterval([faithfulness, low, high]);
  const here = run.faithfulness?.[at.place] ? `; at this step they keep ${withInterval(run.faithfulness[at.place])}` : "";
  part("graph-note").textContent = `${number(n)} of ${number(all)} edges; at the last step they keep ${kept} of the gap${at.atLast ? "" : here}. ${verdictOf(run.circuit)}`;
  const [drawn, rolesOf] = [strongest(whole, at.top), rolesAt(run, at.place)];
  part("vanished").textContent = vanishedWords(drawn, at);
  part("fold").closest("label").hidden = !supernodes(whole, rolesOf, "graph").size;
  part("fold").value = at.fold;
  if (part("find").value.trim().toLowerCase() !== at.find) part("find").value = at.find;
  part("find").placeholder = exampleOf(drawn, rolesOf);
  const every = [...supernodes(drawn, rolesOf, at.fold)];
  const folded = new Map(every.filter(([name]) => !at.unfolded.includes(name)));
  const hits = graph(part("graph"), {
    edges: foldEdges(drawn, folded), folded, opened: every.filter(([name]) => !folded.has(name)), sought: at.find,
    place: at.place, atLast: at.atLast, steps: run.steps, rolesOf, within: isWithin(run), head: at.head, onHead: (head) => pick("head", head),
    onFold: (name) => pick("unfolded", at.unfolded.includes(name) ? at.unfolded.filter((one) => one !== name).join(",") : [...at.unfolded, name].join(",")),
  });
  part("found").textContent = at.find ? `${hits} node${hits === 1 ? "" : "s"} found` : "";
}

// An example of what can be sought: a head that is drawn, and a role.
function exampleOf(edges, rolesOf) {
  const names = edges.flatMap((edge) => [targetOf(edge.reader).node, edge.writer]);
  const head = names.find((name) => rolesOf(name).length) || names.find((name) => partsOf(name).kind === "head") || names[0];
  return [head, ...rolesOf(head).slice(0, 1).map((one) => spaced(one.role))].join(", ").replace(", ", " or ");
}

// Which of the drawn edges have left the circuit by this step: those that have vanished (of the last circuit, those that
// have fallen below half of their final effect again), and those that others have outgrown.
function vanishedWords(drawn, at) {
  const { run, place } = at;
  if (run.steps.length === 1 || run.n_former === null) return "";
  const among = (state) => drawn.filter((edge) => stateOf(edge, place, at.atLast) === state);
  const [gone, outgrown] = [among("gone"), among("outgrown")];
  const until = (edge) => (edge.within ? `until step ${number(run.steps[lastWithin(edge, place)])}` : "below half of its final effect again");
  const listed = (edges) => [...edges.slice(0, 2).map((edge) => `${edge.writer} → ${edge.reader} (${until(edge)})`), ...(edges.length > 2 ? [`${edges.length - 2} more`] : [])].join(", ");
  const parts = [gone.length ? `${gone.length} edge${gone.length === 1 ? " has" : "s have"} vanished by this step: ${listed(gone)}.` : "No drawn edge has vanished by this step."];
  if (outgrown.length) parts.push(`${outgrown.length} ${outgrown.length === 1 ? "keeps its" : "keep their"} effect, but others have outgrown ${outgrown.length === 1 ? "it" : "them"}: ${listed(outgrown)}.`);
  const more = run.n_former - drawn.filter((edge) => edge.within).length;
  if (more) parts.push(`${number(more)} weaker edge${more === 1 ? "" : "s"} of earlier circuits ${more === 1 ? "is" : "are"} not drawn.`);
  return parts.join(" ");
}

function valueAt(at, name) {
  const { run, map, place, atLast } = at;
  const followed = map === "effect" ? run.effects[name] : run.roles[map]?.[name];
  const last = map === "effect" ? run.last_effects[name] : run.last_roles[map]?.[name];
  if (run.whole && followed?.[place]) return { value: followed[place] };
  if (atLast && last) return { value: last.slice(0, 3) };  // of all heads, on the same prompts
  if (followed?.[place]) return { value: followed[place] };
  if (!last && !followed) return { value: null, why: "this run's heads were not scored" };
  return { value: null, why: map === "effect" ? "before the last step only the circuit's parts are followed" : "before the last step only heads that play the role are followed" };
}

// The largest magnitude of a quantity over the heads and steps of some runs. A run's own is its scale at all steps; a
// run in which no head does anything is compared with the others.
function largestOfHeads(runs, map) {
  const values = runs.flatMap((run) => {
    const last = map === "effect" ? run.last_effects : run.last_roles[map] || {};
    const over = map === "effect" ? run.effects : run.roles[map] || {};
    return run.heads.flatMap((head) => [last[head]?.[0], ...(over[head] || []).map((value) => value?.[0])]);
  });
  return Math.max(...values.filter((value) => typeof value === "number").map(Math.abs), 1e-9);
}

function showMap(data, at, part, pick) {
  const { run, map } = at;
  if (!run.heads.length) {
    refill(part("map-room"), make("p", { class: "empty" }, "Heads of this training run were not scored."));
    return;
  }
  const most = map !== "effect" && map !== "copying" ? 1 : Math.max(largestOfHeads([run], map), largestOfHeads(data.runs, map) / 10);
  const mlps = map === "effect" ? Object.keys(run.last_effects).filter((name) => name.startsWith("m")) : [];
  const clipped = mlps.some((name) => Math.abs(valueAt(at, name).value?.[0] ?? 0) > most * 1.001) ? " Underlined values lie beyond the scale." : "";
  const unit = map === "effect" ? `Effect on ${spaced(data.metric)}` : map === "copying" ? "Copying, nats" : `${spaced(map)} score, fraction of attention`;
  headMap(part("map-room"), {
    heads: run.heads, mlps, valueOf: (name) => valueAt(at, name), most, head: at.head,
    label: `${unit}, at step ${number(at.step)}. Strongest blue: ${measured(most)}; orange: below zero.${clipped}`,
    onHead: (head) => pick("head", head),
  });
}

async function showHead(data, at, part, pick) {
  const { run, head, place } = at;
  part("head-name").textContent = head || "";
  part("head-room").hidden = !head;
  part("head-none").hidden = Boolean(head);
  if (!head) return;
  const lines = [];
  const effect = valueAt({ ...at, map: "effect" }, head);
  lines.push(`Effect on ${spaced(data.metric)}: ${effect.value ? withInterval(effect.value) : "not measured at this step"}.`);
  for (const role of at.roles) {
    const { value } = valueAt({ ...at, map: role }, head);
    if (!value) continue;
    const plays = run.plays[role]?.includes(head);
    const nothing = CURVED.includes(role) && value[0] < 0.001 && !plays;
    lines.push(`${spaced(role)} ${nothing ? "below 0.001" : withInterval(value)}${plays ? ", plays this role" : ""}.`);
  }
  refill(part("head-says"), ...lines.map((line) => make("li", {}, line)));
  for (const [name, own] of [["in", (edge) => targetOf(edge.reader).node === head], ["out", (edge) => edge.writer === head]]) {
    const edges = edgesOf(run).filter(own).sort((a, b) => Math.abs(weightOf(b, place) ?? 0) - Math.abs(weightOf(a, place) ?? 0));
    refill(part("edges-" + name), ...edges.map((edge) => {
      const state = stateOf(edge, place, at.atLast);
      const input = name === "in" ? `${edge.writer} → ${INPUTS[targetOf(edge.reader).input]}` : edge.reader;
      const words = { now: "", later: "not yet", gone: "vanished", outgrown: "outgrown", noise: "within noise", unknown: "not measured" }[state];
      const weight = weightOf(edge, place);
      return make("tr", { class: state }, make("th", { scope: "row" }, input), make("td", { class: "number" }, edge.effects && weight === null ? "–" : measured(weight)), make("td", {}, words));
    }));
    part(`edges-${name}-none`).hidden = edges.length > 0;
  }
  await showAttention(at, part, pick);
}

async function showAttention(at, part) {
  const { run, head, step } = at;
  const recorded = run.attention;
  const why = !recorded ? "No attention was recorded for this run." : !recorded.heads.includes(head)
    ? `Attention was recorded for the circuit's heads only: ${recorded.heads.join(", ")}.`
    : !recorded.steps.includes(step) ? `Attention was recorded at step ${recorded.steps.join(", ")} only.` : "";
  part("attention-none").textContent = why;
  part("attention-room").hidden = Boolean(why);
  if (why) return;
  const view = await patternsOf(run);
  const weight = reading(run, view, step, head);
  const { tokens } = recorded;
  const wanted = chosen.has("token") ? Number(chosen.get("token")) : -1;
  const query = tokens[wanted] !== undefined ? wanted : tokens.length - 1; // the last token predicts the answer
  const select = part("token");
  select.replaceChildren(...tokens.map((token, place) => make("option", { value: place }, `${place} ${short(shownToken(token), 24)}`)));
  select.value = query;
  const canvas = part("canvas");
  canvas.setAttribute("aria-label", `Attention of ${head} at step ${step} on ${tokens.length} tokens`);
  attentionCanvas(canvas, tokens, weight, query);
  const most = ranked(tokens, weight, query);
  refill(part("ranked"), ...most.map((one) => make("li", {}, make("bdi", {}, `${one.place} ${shownToken(one.token)}`), ` ${measured(one.share, 3)}`)));
  canvas.dataset.drawn = `${head} ${step}`;
}

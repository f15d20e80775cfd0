// The explorer's four views: each draws one choice of size, seed, step, ability and head.
const ROLE_KINDS = { previous_token: "previous", induction: "induction", duplicate_token: "duplicate" };

function showCurves(data, at, part, pick) {
  const { run, ability, metric } = at;
  const about = data.abilities.find((one) => one.name === ability);
  const isShare = metric === "accuracy";
  const ticks = run.steps.map((step) => ({ at: Math.log1p(step), name: number(step), step }));
  const over = (values) => ticks.map((tick, place) => ({ at: tick.at, name: `at step ${tick.name}`, value: values && values[place] }));
  const lines = [{ name: spaced(ability), kind: "ability", band: true, points: over(run.curves[ability]?.[metric]) }];
  if (isShare && ability === data.subject) {
    for (const [role, kind] of Object.entries(ROLE_KINDS)) {
      const heads = Object.entries(run.roles[role] || {});
      if (!heads.length) continue;
      const [head, values] = heads.find(([name]) => name === at.head) || heads[0];
      lines.push({ name: `${head} ${TAGS[role]}`, kind, points: over(values) });
    }
  }
  if (isShare) lines.push({ name: "chance", kind: "chance", level: about.chance, points: [] });
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
  if (isShare) overSizes.push({ name: "chance", kind: "chance", level: about.chance, points: [] });
  part("ability-title").textContent = `${spaced(ability)} over training`;
  part("sizes-figure").hidden = firsts.length < 2;
  if (firsts.length < 2) return;
  curves(part("sizes"), {
    lines: overSizes, ticks: firsts.map((end) => ({ at: x(end), name: end.run.size, size: end.run.size })), place: x({ run }),
    unit: isShare ? "fraction" : spaced(metric), from, to, names: true, height: 150,
    label: `${spaced(ability)} at the last step of each size`, onPick: (tick) => pick("size", tick.size),
  });
}

// The role of a node: the one whose score at the last step is the highest part of the threshold; and how far it has come.
function roleAt(run, place) {
  return (node) => {
    const last = run.steps.length - 1;
    const played = Object.entries(run.roles)
      .filter(([role, heads]) => role !== "copying" && heads[node] && heads[node][last])
      .sort(([, a], [, b]) => b[node][last][0] - a[node][last][0]);
    if (!played.length) return [null, 0];
    const [role, heads] = played[0];
    return [role, heads[node][place] ? heads[node][place][0] / heads[node][last][0] : 0];
  };
}

function showGraph(data, at, part, pick) {
  const { run } = at;
  const none = !run.edges.length;
  part("graph-key").hidden = none;
  part("top").closest("label").hidden = none || run.edges.length <= 10;
  if (none) {
    const why = run.circuit ? `No circuit at ${run.size}. Verdict: ${run.circuit.verdict}.` : `No circuit was sought in seed ${run.seed} of ${run.size}.`;
    part("graph-note").textContent = "";
    refill(part("graph"), make("p", { class: "empty" }, why));
    return;
  }
  const top = part("top");
  top.min = Math.min(10, run.edges.length);
  top.max = run.edges.length;
  top.value = at.top;
  part("top-shown").textContent = at.top === run.edges.length ? `all ${at.top}` : `${at.top} of ${run.edges.length}`;
  const { n_edges: n, n_graph_edges: all, faithfulness, ci_low: low, ci_high: high, verdict } = run.circuit;
  const kept = withInterval([faithfulness, low, high]);
  const here = run.faithfulness ? `; at this step it keeps ${withInterval(run.faithfulness[at.place])}` : "";
  part("graph-note").textContent = `${number(n)} of ${number(all)} edges; at the last step they keep ${kept} of the gap${at.atLast ? "" : here}. Verdict: ${verdict}.`;
  const [drawn, roleOf] = [strongest(run.edges, at.top), roleAt(run, at.place)];
  part("fold").closest("label").hidden = !supernodes(run.edges, roleOf, "graph").size;
  part("fold").value = at.fold;
  if (part("find").value.trim().toLowerCase() !== at.find) part("find").value = at.find;
  const every = [...supernodes(drawn, roleOf, at.fold)];
  const folded = new Map(every.filter(([name]) => !at.unfolded.includes(name)));
  const hits = graph(part("graph"), {
    edges: foldEdges(drawn, folded), folded, opened: every.filter(([name]) => !folded.has(name)), sought: at.find,
    place: at.place, atLast: at.atLast, step: at.step, roleOf, head: at.head, onHead: (head) => pick("head", head),
    onFold: (name) => pick("unfolded", at.unfolded.includes(name) ? at.unfolded.filter((one) => one !== name).join(",") : [...at.unfolded, name].join(",")),
  });
  part("found").textContent = at.find ? `${hits} node${hits === 1 ? "" : "s"} found` : "";
}

function valueAt(at, name) {
  const { run, map, place, atLast } = at;
  const followed = map === "effect" ? run.effects[name] : run.roles[map]?.[name];
  const last = map === "effect" ? run.last_effects[name] : run.last_roles[map]?.[name];
  if (atLast && last) return { value: last.slice(0, 3) };  // of all heads, on the same prompts
  if (followed && followed[place]) return { value: followed[place] };
  if (!last && !followed) return { value: null, why: "this run's heads were not scored" };
  return { value: null, why: map === "effect" ? "before the last step only the circuit's parts were measured" : "before the last step only heads that play the role were measured" };
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
    label: `${unit}, at step ${number(at.step)}. Strongest blue: ${number(most)}; orange: below zero.${clipped}`,
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
    const plays = run.last_roles[role]?.[head]?.[3];
    lines.push(`${spaced(role)} ${withInterval(value)}${plays ? ", a role that it plays at the last step" : ""}.`);
  }
  refill(part("head-says"), ...lines.map((line) => make("li", {}, line)));
  for (const [name, own] of [["in", (edge) => targetOf(edge.reader).node === head], ["out", (edge) => edge.writer === head]]) {
    const edges = run.edges.filter(own).sort((a, b) => Math.abs(weightOf(b, place) ?? 0) - Math.abs(weightOf(a, place) ?? 0));
    refill(part("edges-" + name), ...edges.map((edge) => {
      const state = stateOf(edge, place, at.atLast);
      const input = name === "in" ? `${edge.writer} → ${INPUTS[targetOf(edge.reader).input]}` : edge.reader;
      const words = { now: "", later: "not yet", gone: "vanished", noise: "within noise", unknown: "not measured" }[state];
      const weight = weightOf(edge, place);
      return make("tr", { class: state }, make("th", { scope: "row" }, input), make("td", { class: "number" }, edge.effects && weight === null ? "–" : number(weight)), make("td", {}, words));
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
  const strongestRow = tokens.map((_, query) => Math.max(0, ...tokens.map((_, key) => (key > 0 && key < query ? weight(query, key) : 0))));
  const wanted = chosen.has("token") ? Number(chosen.get("token")) : -1;
  const query = tokens[wanted] !== undefined ? wanted : strongestRow.indexOf(Math.max(...strongestRow));
  const select = part("token");
  select.replaceChildren(...tokens.map((token, place) => make("option", { value: place }, `${place} ${short(shownToken(token), 24)}`)));
  select.value = query;
  const canvas = part("canvas");
  canvas.setAttribute("aria-label", `Attention of ${head} at step ${step} on ${tokens.length} tokens`);
  attentionCanvas(canvas, tokens, weight, query);
  const most = ranked(tokens, weight, query);
  refill(part("ranked"), ...most.map((one) => make("li", {}, make("bdi", {}, `${one.place} ${shownToken(one.token)}`), ` ${number(one.share)}`)));
  canvas.dataset.drawn = `${head} ${step}`;
}

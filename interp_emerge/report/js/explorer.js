// The explorer: a training step and a size drive curve, circuit, head map and attention together.
function explorer() {
  const source = document.getElementById("explorer-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const part = (name) => document.getElementById("explorer-" + name);
  const sizes = [...new Set(data.runs.map((run) => run.size))];
  const withCircuit = data.runs.filter((run) => run.edges.length);
  let timer = null;

  function nearest(steps, wanted) {
    return steps.reduce((best, step) => (Math.abs(Math.log1p(step) - Math.log1p(wanted)) < Math.abs(Math.log1p(best) - Math.log1p(wanted)) ? step : best));
  }

  // Everything that is shown, from the reader's choices; what cannot be had falls back to what is nearest.
  function now() {
    const last = withCircuit.length ? withCircuit[withCircuit.length - 1].size : sizes[sizes.length - 1];
    const size = sizes.includes(chosen.get("size")) ? chosen.get("size") : last;
    const runs = data.runs.filter((run) => run.size === size);
    const run = runs.find((one) => String(one.seed) === chosen.get("seed")) || runs[0];
    const unknown = unknownState(data, sizes);
    const isKnown = chosen.has("step") && !unknown.includes("step");
    const step = isKnown ? nearest(run.steps, Number(chosen.get("step"))) : run.steps[run.steps.length - 1];
    const place = run.steps.indexOf(step);
    const names = data.abilities.map((one) => one.name);
    const ability = names.includes(chosen.get("ability")) ? chosen.get("ability") : data.subject;
    const metric = data.metrics.includes(chosen.get("metric")) ? chosen.get("metric") : data.metrics[0];
    const roles = Object.keys({ ...run.last_roles, ...run.roles });
    const map = roles.includes(chosen.get("map")) ? chosen.get("map") : "effect";
    const head = run.heads.includes(chosen.get("head")) ? chosen.get("head") : firstHead(run);
    const most = chosen.has("top") && !unknown.includes("top") ? Number(chosen.get("top")) : 40;
    const top = Math.min(Math.max(most, 10), edgesOf(run).length);
    const fold = ["layer", "graph"].includes(chosen.get("fold")) ? chosen.get("fold") : "";
    const find = (chosen.get("find") || "").trim().toLowerCase();
    const unfolded = chosenList("unfolded");
    return { run, runs, step, place, ability, metric, roles, map, head, top, fold, find, unfolded, unknown, atLast: place === run.steps.length - 1 };
  }

  function firstHead(run) {
    const attended = run.attention ? run.attention.heads : [];
    const playing = Object.values(run.plays).flat();
    return playing.find((head) => attended.includes(head)) || playing[0] || attended[0] || run.heads[0] || null;
  }

  function pick(key, value) {
    choose(key, value);
    show();
  }

  function rangeOf(name, values, current, say) {
    const input = part(name);
    input.max = values.length - 1;
    const marks = part(name + "-marks");
    if (marks.children.length !== values.length) marks.replaceChildren(...values.map((_, place) => make("option", { value: place })));
    input.value = values.indexOf(current);
    input.disabled = values.length < 2;
    input.setAttribute("aria-valuetext", say);
    part(name + "-shown").textContent = say;
  }

  function options(name, values, current, say) {
    const select = part(name);
    if (select.options.length !== values.length || values.some((value, place) => select.options[place].value !== String(value))) {
      select.replaceChildren(...values.map((value) => make("option", { value }, say(value))));
    }
    select.value = String(current);
    select.closest("label").hidden = values.length < 2;
  }

  function show() {
    const at = now();
    const { run, step } = at;
    const only = run.steps.length === 1;
    rangeOf("size", sizes, run.size, run.size);
    rangeOf("step", run.steps, step, only ? `${number(step)} (the only step)` : `${number(step)} of ${number(run.steps[run.steps.length - 1])}`);
    options("seed", at.runs.map((one) => one.seed), run.seed, String);
    options("ability", data.abilities.map((one) => one.name), at.ability, spaced);
    options("metric", data.metrics, at.metric, spaced);
    options("map", ["effect", ...at.roles], at.map, (name) => (name === "effect" ? `effect on ${spaced(data.metric)}` : spaced(name)));
    part("play").hidden = only;
    showCurves(data, at, part, pick);
    showGraph(data, at, part, pick);
    showMap(data, at, part, pick);
    showHead(data, at, part, pick);
    part("status").textContent = statusOf(data, at);
    refill(part("missing"), ...missing(data, at).map((text) => make("li", {}, text)));
  }

  part("size").addEventListener("input", (event) => pick("size", sizes[event.target.value]));
  part("step").addEventListener("input", (event) => pick("step", now().run.steps[event.target.value]));
  for (const name of ["seed", "ability", "metric", "map"]) part(name).addEventListener("change", (event) => pick(name, event.target.value));
  part("find").addEventListener("input", (event) => pick("find", event.target.value));
  part("fold").addEventListener("change", (event) => {
    choose("unfolded", null);
    pick("fold", event.target.value);
  });
  part("top").addEventListener("input", (event) => pick("top", event.target.value));
  part("token").addEventListener("change", (event) => pick("token", event.target.value));
  part("canvas").addEventListener("token", (event) => pick("token", event.detail));
  part("play").addEventListener("click", () => {
    if (timer) return stop();
    const { run, atLast } = now();
    if (atLast) pick("step", run.steps[0]);
    part("play").textContent = "Pause";
    timer = setInterval(() => {
      const at = now();
      if (at.atLast) return stop();
      pick("step", at.run.steps[at.place + 1]);
    }, 900);
  });
  function stop() {
    clearInterval(timer);
    timer = null;
    part("play").textContent = "Play";
  }
  onTheme.push(show);
  let wide = 0;
  new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - wide) > 2) requestAnimationFrame(show);
    wide = entry.contentRect.width;
  }).observe(part("room"));
  follow(show);
}

const MOST_NAMED = 6; // heads of a role in the sentence

// What the chosen step shows, in a sentence.
function statusOf(data, at) {
  const { run, place, ability, metric } = at;
  const value = run.curves[ability]?.[metric]?.[place];
  const parts = [`${spaced(ability)}: ${spaced(metric)} ${withInterval(value)}`];
  const isOnly = run.steps.length === 1; // a role cannot be half formed there: heads play it, or they do not
  for (const [role, heads] of Object.entries(isOnly ? run.plays : run.halves)) {
    const there = isOnly ? heads : Object.keys(heads).filter((head) => isThere(run, role, head, place));
    const named = there.length > MOST_NAMED ? [...there.slice(0, MOST_NAMED), `${there.length - MOST_NAMED} more`] : there;
    parts.push(`${spaced(role)}: ${named.length ? named.join(", ") : "no head yet"}`);
  }
  if (!isOnly && run.edges.some((edge) => edge.effects)) parts.push(reachedWords(run, place));
  const seed = at.runs.length > 1 ? `, seed ${run.seed}` : "";
  return [`${run.size}${seed}, step ${number(at.step)}. ${parts.join("; ")}.`, ignoredWords(at.unknown)].join(" ").trim();
}

// How many edges of the last step's circuit have half of their final effect, and of how many that cannot be said.
function reachedWords(run, place) {
  const counted = run.edges.filter((edge) => edge.effects && typeof edge.half === "number");
  const n = counted.filter((edge) => stateOf(edge, place, false) === "now").length;
  const noisy = run.edges.filter((edge) => edge.effects).length - counted.length;
  const others = run.edges.length - counted.length - noisy;
  const why = [noisy ? `${number(noisy)} more: final effect within noise` : "", others ? `${number(others)} more: not followed` : ""].filter(Boolean);
  const rest = why.length ? ` (${why.join("; ")})` : "";
  return `${number(n)} of ${number(counted.length)} edges ${n === 1 ? "has half of its" : "have half of their"} final effect${rest}`;
}

const STATE_ELSEWHERE = ["at", "open", "find", "unfolded"];

// What the address names that this study does not have. A step or a head of another size is not among it: what is
// nearest is shown, so that sizes can be compared.
function unknownState(data, sizes) {
  const anywhere = (list) => new Set(data.runs.flatMap(list).map(String));
  const whole = (least, most) => (value) => /^\d+$/.test(value) && Number(value) >= least && Number(value) <= most;
  const allowed = {
    size: sizes, seed: anywhere((run) => run.seed), step: anywhere((run) => run.steps), ability: data.abilities.map((one) => one.name),
    metric: data.metrics, map: anywhere((run) => ["effect", ...Object.keys(run.last_roles), ...Object.keys(run.roles)]), head: anywhere((run) => run.heads),
    fold: ["layer", "graph"], theme: ["dark", "light"], top: whole(1, Infinity),
    token: whole(0, Math.max(...data.runs.map((run) => (run.attention?.tokens.length ?? 1) - 1))),
  };
  return [...chosen.keys()].filter((key) => {
    if (STATE_ELSEWHERE.includes(key) || /^(tab|table)\./.test(key)) return false;
    if (!Object.hasOwn(allowed, key)) return true;
    return typeof allowed[key] === "function" ? !allowed[key](chosen.get(key)) : ![...allowed[key]].includes(chosen.get(key));
  });
}

function ignoredWords(unknown) {
  const named = unknown.map((key) => `${short(key, 20)} ${short(chosen.get(key), 20).replace(/^-/, "−")}`);
  return named.length ? `The address asks for ${named.join(", ")}, which this study does not have and this page ignores.` : "";
}

// Whether a head has reached half of its final score in a role.
function isThere(run, role, head, place) {
  const value = run.roles[role]?.[head]?.[place];
  const half = run.halves[role]?.[head];
  return Boolean(value) && half !== null && half !== undefined && (half < 0 ? value[0] <= half : value[0] >= half);
}

// What is not measured at the chosen place, and why.
function missing(data, at) {
  const { run, runs, atLast } = at;
  const reasons = [];
  const fault = run.faults[String(at.step)];
  if (fault) reasons.push(`A fault of this checkpoint is known: ${fault}`);
  if (at.ability !== data.subject) reasons.push(`Circuit, heads and attention are those of ${spaced(data.subject)}; the study sought no circuit of ${spaced(at.ability)}.`);
  if (!run.circuit) {
    const first = runs.find((one) => one.circuit);
    reasons.push(first ? `Circuits and heads were studied in seed ${first.seed} of ${run.size} only.` : `No circuit was sought in ${run.size}, seed ${run.seed}.`);
  } else if (!run.edges.length) {
    reasons.push(`There is no circuit to show at ${run.size}. ${verdictOf(run.circuit)}`);
  } else if (run.steps.length === 1) {
    reasons.push("The run has one step, so nothing is seen forming.");
  } else if (run.edges.some((edge) => !edge.effects)) {
    reasons.push("Effects of edges were not followed over steps, so edges before the last step are pale.");
  } else if (run.n_former === null) {
    reasons.push("Only edges of the last step's circuit were followed. Edges that an earlier circuit had and this one lacks are not drawn.");
  }
  if (run.edges.length && run.faithfulness && !run.faithfulness[at.place]) reasons.push("Faithfulness is undefined at this step: the clean-corrupt gap is within noise.");
  if (run.edges.length && run.n_former !== null && run.steps.length > 1) reasons.push("The circuit of an earlier step stands for its strongest edges, as many as the last step's circuit has; its own faithfulness was not measured. The last step's circuit was found by a search, which also keeps weak edges that strong ones need and leaves out strong ones that it can do without. An edge is outgrown if it is no longer among the strongest.");
  if (run.n_left_out) reasons.push(`${number(run.n_left_out)} edge${run.n_left_out === 1 ? " is" : "s are"} among the strongest at the last step, but not in the circuit that was found there, and not drawn.`);
  if (run.edges.length && !run.whole && !atLast) reasons.push("Before the last step effects are followed for heads and MLPs of the circuit, and scores for heads that play a role; hatched cells are not followed.");
  if (run.edges.length && !run.attention) reasons.push("No attention was recorded for this run.");
  return reasons;
}

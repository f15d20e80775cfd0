// Curves over training steps or over sizes: intervals as bands, a marker at the chosen place, names beside the lines.
function curves(room, { lines, ticks, place, unit, from, to, label, names, height, onPick }) {
  const width = Math.max(room.clientWidth, 240);
  const edge = { left: 38, right: names ? 116 : 14, top: 20, bottom: 30 };
  const places = ticks.map((tick) => tick.at);
  const [first, last] = [Math.min(...places), Math.max(...places)];
  const x = (at) =>
    first === last ? (edge.left + width - edge.right) / 2 : edge.left + ((at - first) / (last - first)) * (width - edge.left - edge.right);
  const known = lines.flatMap((line) => line.points.flatMap((point) => (point.value ? point.value.filter((one) => one !== null) : [])));
  const bottom = Math.min(from ?? Infinity, ...known);
  const top = Math.max(to ?? -Infinity, ...known);
  const span = top > bottom ? top - bottom : 1;
  const y = (value) => height - edge.bottom - ((value - bottom) / span) * (height - edge.top - edge.bottom);
  const drawing = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });

  for (const value of evenly(bottom, top)) {
    drawing.append(
      make("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: y(value), y2: y(value) }),
      make("text", { class: "tick", x: edge.left - 6, y: y(value) + 4, "text-anchor": "end" }, number(value))
    );
  }
  drawing.append(make("text", { class: "unit", x: 2, y: 11 }, unit));
  const labelled = tickLabels(ticks, place, x);
  for (const tick of ticks) {
    const here = tick.at === place ? " here" : "";
    drawing.append(make("line", { class: "mark" + here, x1: x(tick.at), x2: x(tick.at), y1: height - edge.bottom, y2: height - edge.bottom + 5 }));
    if (labelled.has(tick)) drawing.append(make("text", { class: "tick" + here, x: x(tick.at), y: height - 10, "text-anchor": "middle" }, tick.name));
  }
  if (place !== null) drawing.append(make("line", { class: "marker", x1: x(place), x2: x(place), y1: edge.top - 4, y2: height - edge.bottom }));

  const [ends, starts] = [[], []];
  for (const line of lines) {
    const there = line.points.filter((point) => point.value);
    if (typeof line.level === "number") {
      drawing.append(make("line", { class: "level", x1: edge.left, x2: width - edge.right, y1: y(line.level), y2: y(line.level) }));
      ends.push({ line, at: y(line.level) });
      continue;
    }
    if (!there.length) continue;
    const banded = there.filter((point) => point.value[1] !== null && point.value[2] !== null);
    if (line.band && banded.length > 1) {
      const upper = banded.map((point) => `${x(point.at)},${y(point.value[2])}`);
      const lower = banded.map((point) => `${x(point.at)},${y(point.value[1])}`).reverse();
      drawing.append(make("polygon", { class: `band ${line.kind}`, points: [...upper, ...lower].join(" ") }));
    }
    if (line.joined !== false) {
      const path = there.map((point, index) => `${index ? "L" : "M"}${x(point.at)},${y(point.value[0])}`).join("");
      drawing.append(make("path", { class: `curve ${line.kind}`, d: path }));
    }
    for (const point of there) {
      const here = point.here ?? point.at === place;
      const dot = dotOf(line.kind, x(point.at), y(point.value[0]), here);
      dot.append(make("title", {}, `${line.name} ${point.name}: ${withInterval(point.value)}`));
      drawing.append(dot);
    }
    ends.push({ line, at: y(there[there.length - 1].value[0]) });
    if (line.start && there[0].at === line.start.at) starts.push({ words: line.start.words, at: x(there[0].at), y: y(there[0].value[0]) });
  }
  if (starts.length) {
    const highest = Math.min(...starts.map((one) => one.y));
    drawing.append(make("text", { class: "start", x: starts[0].at - 3, y: highest - 9 }, starts[0].words));
  }
  if (names) {
    ends.sort((a, b) => a.at - b.at);
    ends.forEach((end, place) => (end.at = Math.max(end.at, place ? ends[place - 1].at + 13 : edge.top)));
    for (let place = ends.length - 1, below = height - edge.bottom + 4; place >= 0; place--) {
      ends[place].at = Math.min(ends[place].at, below);
      below = ends[place].at - 13;
    }
    for (const { line, at } of ends) {
      const left = width - edge.right + 8;
      drawing.append(
        make("line", { class: `key ${line.kind}`, x1: left, x2: left + 14, y1: at, y2: at }),
        ...(line.kind === "chance" ? [] : [dotOf(line.kind, left + 7, at, false)]),
        make("text", { class: `name ${line.kind}`, x: left + 18, y: at + 4 }, short(line.name, 16))
      );
    }
  }
  drawing.addEventListener("click", (event) => {
    const box = drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    onPick(ticks.reduce((best, tick) => (Math.abs(x(tick.at) - at) < Math.abs(x(best.at) - at) ? tick : best)));
  });
  refill(room, drawing);
}

// The ticks whose names have room beside each other: that of the chosen place always, the others from left to right.
function tickLabels(ticks, place, x) {
  const span = (tick) => [x(tick.at) - tick.name.length * 3.2 - 3, x(tick.at) + tick.name.length * 3.2 + 3];
  const kept = [];
  for (const tick of [...ticks.filter((one) => one.at === place), ...ticks]) {
    const [left, right] = span(tick);
    if (kept.every((one) => right < span(one)[0] || left > span(one)[1])) kept.push(tick);
  }
  return new Set(kept);
}

// The mark of a measured value. Each kind of line has a form of its own, so that it is not told by its colour alone.
function dotOf(kind, x, y, here) {
  const r = here ? 4.8 : 2.8;
  const shapes = {
    previous_token: `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    induction: `M${x},${y - 1.35 * r}l${1.35 * r},${1.35 * r}l${-1.35 * r},${1.35 * r}l${-1.35 * r},${-1.35 * r}z`,
    duplicate_token: `M${x},${y - 1.2 * r}l${1.2 * r},${2.1 * r}h${-2.4 * r}z`,
  };
  const about = { class: `dot ${kind}${here ? " here" : ""}` };
  return shapes[kind] ? make("path", { ...about, d: shapes[kind] }) : make("circle", { ...about, cx: x, cy: y, r: 0.95 * r });
}

// About four round numbers between two ends.
function evenly(low, high) {
  const raw = (high - low) / 3 || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((part) => part * power).find((part) => part >= raw * 0.999);
  const values = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + 1e-9 * step; value += step) values.push(Number(value.toPrecision(6)));
  return values;
}

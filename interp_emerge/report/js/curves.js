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
  let free = -Infinity;
  for (const tick of ticks) {
    const half = tick.name.length * 3.2;
    if (x(tick.at) - half < free) continue;
    free = x(tick.at) + half + 6;
    drawing.append(make("text", { class: "tick", x: x(tick.at), y: height - 12, "text-anchor": "middle" }, tick.name));
  }
  if (place !== null) drawing.append(make("line", { class: "marker", x1: x(place), x2: x(place), y1: edge.top - 4, y2: height - edge.bottom }));

  const ends = [];
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
      const dot = make("circle", { class: `dot ${line.kind}${here ? " here" : ""}`, cx: x(point.at), cy: y(point.value[0]), r: here ? 4.5 : 2.4 });
      dot.append(make("title", {}, `${line.name} ${point.name}: ${withInterval(point.value)}`));
      drawing.append(dot);
    }
    ends.push({ line, at: y(there[there.length - 1].value[0]) });
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

// About four round numbers between two ends.
function evenly(low, high) {
  const raw = (high - low) / 3 || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((part) => part * power).find((part) => part >= raw * 0.999);
  const values = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + 1e-9 * step; value += step) values.push(Number(value.toPrecision(6)));
  return values;
}

// Heads × layers, coloured by what is measured at the chosen step; hatched where nothing is. Arrow keys walk the cells.
function headMap(room, { heads, mlps, valueOf, most, head, label, onHead }) {
  const cells = heads.map(partsOf);
  const layers = [...new Set([...cells, ...mlps.map(partsOf)].map((cell) => cell.layer))].sort((a, b) => b - a);
  const columns = [...new Set(cells.map((cell) => cell.index))].sort((a, b) => a - b);
  const crowded = columns.length > 8 ? " crowded" : "";
  const table = make("table", { class: "headmap" + crowded });
  const top = make("tr", {}, make("td", {}), ...columns.map((column) => make("th", { scope: "col" }, "h" + column)));
  if (mlps.length) top.append(make("th", { scope: "col" }, "MLP"));
  const body = make("tbody", {});
  const within = cells.some((cell) => cell.node === head) ? head : heads[0];
  for (const layer of layers) {
    const line = make("tr", {}, make("th", { scope: "row" }, "a" + layer));
    for (const column of columns) line.append(mapCell(`a${layer}.h${column}`, heads, valueOf, most, head, within, onHead));
    if (mlps.length) {
      const name = "m" + layer;
      const cell = mapCell(name, mlps, valueOf, most, null, null, null);
      cell.classList.add("mlp");
      line.append(cell);
    }
    body.append(line);
  }
  table.append(make("caption", {}, label), make("thead", {}, top), body);
  table.addEventListener("keydown", (event) => {
    const move = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const cell = event.target.closest("td");
    if (!move || !cell) return;
    event.preventDefault();
    const line = body.rows[cell.parentElement.sectionRowIndex + move[1]];
    const button = line && line.cells[cell.cellIndex + move[0]] && line.cells[cell.cellIndex + move[0]].querySelector("button");
    if (!button) return;
    const key = button.dataset.key;
    onHead(key.slice(5), true);
    room.querySelector(`[data-key="${CSS.escape(key)}"]`).focus();
  });
  refill(room, make("div", { class: "scroll" }, table));
}

function mapCell(name, names, valueOf, most, head, within, onHead) {
  const cell = make("td", {});
  if (!names.includes(name)) return cell;
  const { value, why } = valueOf(name);
  const known = value && value[0] !== null;
  const rounded = known && Number(most >= 0.5 && Math.abs(value[0]) < 1 ? value[0].toFixed(2) : value[0].toPrecision(2));
  const text = known ? number(rounded || 0) : "–"; // no minus sign before a zero
  const spoken = known ? withInterval(value) : "not measured: " + why;
  const part = make(onHead ? "button" : "span", {
    class: known ? "cell" : "cell unmeasured", title: `${name}: ${spoken}`, "data-key": "cell-" + name,
    ...(onHead ? { type: "button", "aria-pressed": name === head, "aria-label": `${name}: ${spoken}`, tabindex: name === within ? 0 : -1 } : {}),
  });
  part.append(text);
  if (known) {
    const colour = shade(value[0] / most);
    part.style.backgroundColor = `rgb(${colour.join(" ")})`;
    part.style.color = inkOn(colour);
    if (Math.abs(value[0]) > most * 1.001) part.classList.add("clipped");
  }
  if (onHead) part.addEventListener("click", () => onHead(name));
  cell.append(part);
  return cell;
}

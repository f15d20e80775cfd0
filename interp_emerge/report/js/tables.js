// Tables: a click on a column's name sorts, a field filters, a button saves the rows as they are shown.
function sortable(text) {
  const number = Number.parseFloat(text.replace(/,/g, "").replace(/−/g, "-"));
  return Number.isNaN(number) ? null : number;
}

function compared(a, b, numeric) {
  if (!numeric) return a.localeCompare(b, undefined, { numeric: true });
  const [x, y] = [sortable(a), sortable(b)];
  return x === null || y === null ? (x === null) - (y === null) : x - y;
}

// Spreadsheets run a cell that begins with one of these signs, so text gets an apostrophe in front of it.
function csvCell(text, numeric) {
  const plain = numeric ? text.replace(/−/g, "-").replace(/,(?=\d{3})/g, "") : text.replace(/^[=+@\t\r-]/, "'$&");
  return /[",\n\r]/.test(plain) ? '"' + plain.replace(/"/g, '""') + '"' : plain;
}

function save(name, text, kind) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function tableOf(block) {
  const table = block.querySelector("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => head.dataset.name);
  const numeric = heads.map((head) => head.classList.contains("number"));
  const key = "table." + block.id;
  const texts = new Map(rows.map((row) => [row, [...row.cells].map((cell) => cell.textContent)]));

  const bar = make("div", { class: "bar" });
  const filter = make("input", { type: "search", placeholder: "Filter rows", "aria-label": "Filter rows of " + block.dataset.label });
  const count = make("span", { class: "count", role: "status" });
  const button = make("button", { type: "button", class: "plain" }, "Save as CSV");
  if (rows.length > 3) bar.append(filter);
  bar.append(count, button);
  block.prepend(bar);

  let [column, down, wanted] = [-1, false, ""];
  function show() {
    const parts = (chosen.get(key) || "").split("~");
    column = names.indexOf(parts[0]);
    down = parts[1] === "down";
    wanted = parts.slice(2).join("~");
    if (filter.value !== wanted) filter.value = wanted;
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const ordered = [...rows];
    if (column >= 0) {
      ordered.sort((a, b) => compared(texts.get(a)[column], texts.get(b)[column], numeric[column]) * (down ? -1 : 1));
    }
    let n = 0;
    for (const row of ordered) {
      const text = texts.get(row).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      n += !row.hidden;
      body.append(row);
    }
    count.textContent = n === rows.length ? `${n} row${n === 1 ? "" : "s"}` : `${n} of ${rows.length} rows`;
    heads.forEach((head, place) => {
      head.setAttribute("aria-sort", place !== column ? "none" : down ? "descending" : "ascending");
    });
  }
  function keep() {
    const sorted = column >= 0 ? names[column] : "";
    choose(key, sorted || wanted ? [sorted, down ? "down" : "up", wanted].join("~") : null);
    show();
  }
  heads.forEach((head, place) => {
    const label = head.querySelector(".name");
    const sort = make("button", { type: "button", class: "sort" }, label.textContent);
    label.replaceWith(sort);
    sort.addEventListener("click", () => {
      [column, down] = column !== place ? [place, false] : down ? [-1, false] : [place, true];
      keep();
    });
  });
  filter.addEventListener("input", () => {
    wanted = filter.value;
    keep();
  });
  button.addEventListener("click", () => {
    const shown = [...body.rows].filter((row) => !row.hidden).map((row) => texts.get(row));
    const lines = [names.map((name) => csvCell(name, false)), ...shown.map((row) => row.map((text, place) => csvCell(text, numeric[place])))];
    save(block.id + ".csv", lines.map((line) => line.join(",")).join("\r\n") + "\r\n", "text/csv;charset=utf-8");
  });
  follow(show);
}

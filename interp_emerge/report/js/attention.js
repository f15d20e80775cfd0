// Attention of one head on one prompt: rows attend to columns. The numbers are deflated thousandths.
const inflated = new Map();
const LARGEST_CANVAS = 330; // pixels; with more the other views would not fit beside it

async function patternsOf(run) {
  const recorded = run.attention;
  if (!recorded) return null;
  if (!inflated.has(run)) {
    const bytes = Uint8Array.from(atob(recorded.patterns), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    inflated.set(run, new Response(stream).arrayBuffer().then((buffer) => new DataView(buffer)));
  }
  return inflated.get(run);
}

// The weight from a query to a key, of a head at one of the recorded steps.
function reading(run, view, step, head) {
  const { tokens, heads, steps } = run.attention;
  const n = tokens.length;
  const start = (steps.indexOf(step) * heads.length + heads.indexOf(head)) * n * n;
  return (query, key) => view.getUint16(2 * (start + query * n + key), true) / 1000;
}

function attentionCanvas(canvas, tokens, weight, query) {
  const room = canvas.parentElement.clientWidth;
  const n = tokens.length;
  const longest = Math.max(...tokens.map((token) => Math.min([...shownToken(token)].length, 9)));
  const labels = n <= 40 ? Math.min(74, 16 + 6.7 * longest) : 12;
  const cell = Math.max(3, Math.min(22, (Math.min(room, LARGEST_CANVAS) - labels - 4) / n));
  const size = labels + n * cell + 2;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = size * ratio;
  canvas.height = size * ratio;
  canvas.style.width = canvas.style.height = size + "px";
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const styles = getComputedStyle(document.documentElement);
  const [ink, muted, line] = ["--ink", "--muted", "--line"].map((name) => styles.getPropertyValue(name).trim());
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < n; column++) {
      if (column > row && weight(row, column) === 0) continue;
      pen.fillStyle = `rgb(${shade(weight(row, column)).join(" ")})`;
      pen.fillRect(labels + column * cell, labels + row * cell, cell - 0.5, cell - 0.5);
    }
  }
  pen.strokeStyle = line;
  pen.strokeRect(labels - 0.5, labels - 0.5, n * cell + 1, n * cell + 1);
  pen.strokeStyle = ink;
  pen.lineWidth = 1.5;
  pen.strokeRect(labels, labels + query * cell, (query + 1) * cell, cell);
  if (n <= 40) {
    pen.font = `${Math.min(11, cell)}px ui-monospace, monospace`;
    pen.textBaseline = "middle";
    tokens.forEach((token, place) => {
      const text = "\u2068" + short(shownToken(token), 9) + "\u2069";
      pen.fillStyle = place === query ? ink : muted;
      pen.textAlign = "right";
      pen.fillText(text, labels - 5, labels + (place + 0.5) * cell, labels - 8);
      pen.save();
      pen.translate(labels + (place + 0.5) * cell, labels - 5);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "left";
      pen.fillText(text, 0, 0, labels - 8);
      pen.restore();
    });
  }
  canvas.onclick = (event) => {
    const box = canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top - labels) / cell);
    if (row >= 0 && row < n) canvas.dispatchEvent(new CustomEvent("token", { detail: row }));
  };
  canvas.onpointermove = (event) => {
    const box = canvas.getBoundingClientRect();
    const [row, column] = [event.clientY - box.top, event.clientX - box.left].map((at) => Math.floor((at - labels) / cell));
    const inside = row >= 0 && column >= 0 && row < n && column < n;
    canvas.title = inside ? `${row} ${shownToken(tokens[row])} → ${column} ${shownToken(tokens[column])}: ${measured(weight(row, column), 3)}` : "";
  };
}

// A token with its spaces and line breaks visible.
function shownToken(token) {
  return token.replace(/^ /, "·").replace(/\n/g, "⏎").replace(/[\u2028\u2029\r\t]/g, "␣") || "∅";
}

function ranked(tokens, weight, query) {
  const found = tokens.map((token, place) => ({ token, place, share: weight(query, place) })).filter((one) => one.share > 0);
  return found.sort((a, b) => b.share - a.share).slice(0, 5);
}

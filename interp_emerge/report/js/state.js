// What the reader has chosen. It stands in the address after "#", so that a copied address shows the same.
const chosen = new Map();
const followers = [];
let writing = 0;

function readAddress() {
  const hash = location.hash.slice(1);
  chosen.clear();
  if (hash.includes("=")) for (const [key, value] of new URLSearchParams(hash)) chosen.set(key, value);
  else if (hash) chosen.set("at", decoded(hash));
}

// A piece of an address in words; an address that is not encoded as one stands as it is.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function choose(key, value) {
  if (value === null || value === undefined || value === "") chosen.delete(key);
  else chosen.set(key, String(value));
  clearTimeout(writing);
  writing = setTimeout(writeAddress, 100);
}

// Browsers refuse many changes of the address in a row, as a slider that is dragged would make them.
function writeAddress() {
  history.replaceState(null, "", "#" + new URLSearchParams([...chosen]));
}

// Call `show` now, and whenever the address changes by hand.
function follow(show) {
  followers.push(show);
  show();
}

function chosenList(key) {
  return (chosen.get(key) || "").split(",").filter(Boolean);
}

function goTo(id, smoothly) {
  const target = document.getElementById(id);
  if (!target) return;
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView({ behavior: smoothly ? "smooth" : "auto", block: "start" });
  if (target.tabIndex < 0) target.tabIndex = -1;
  target.focus({ preventScroll: true });
}

// Links within the page keep the state in the address, and open what is folded around their target.
function anchors() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest('a[href^="#"]');
    if (!link) return;
    event.preventDefault();
    const id = decoded(link.getAttribute("href").slice(1));
    choose("at", id);
    goTo(id, true);
  });
}

// Folded parts that are open are named in the address.
function folds() {
  const all = [...document.querySelectorAll("details[id]")];
  for (const fold of all) {
    fold.addEventListener("toggle", async () => {
      const open = chosenList("open").filter((id) => id !== fold.id);
      choose("open", [...open, ...(fold.open ? [fold.id] : [])].join(","));
      if (fold.open) await drawVisible(fold);
    });
  }
  follow(() => {
    const open = new Set(chosenList("open"));
    for (const fold of all) if (fold.open !== open.has(fold.id)) fold.open = open.has(fold.id);
  });
}

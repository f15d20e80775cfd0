// The nodes of a graph by keyboard: Tab leads to one of them, arrow keys to the nearest on that side, Enter clicks.
// Vega draws marks that take no focus, and draws them anew when what is shown changes.
function reachNodes(room) {
  const NODES = '[aria-roledescription="node"]';
  const FOLD = "Fold ";
  let current = null;
  const labelOf = (node) => node.getAttribute("aria-label");
  const all = () => [...room.querySelectorAll(NODES)];
  if (room.dataset.reachable || !all().length) return;
  room.dataset.reachable = "yes"; // what is drawn anew in the same room is seen below

  function tell(node, type) {
    const box = node.getBoundingClientRect();
    const at = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
    const Kind = type === "click" ? MouseEvent : PointerEvent;
    node.dispatchEvent(new Kind(type, { bubbles: true, cancelable: true, view: window, ...at }));
  }

  // Where the focus goes when a node is drawn no more: a supernode and the signs that fold it stand for each other.
  function successor(label, nodes) {
    const other = label.startsWith(FOLD) ? label.slice(FOLD.length) : FOLD + label;
    return nodes.find((node) => labelOf(node) === label) || nodes.find((node) => labelOf(node) === other);
  }

  function tag() {
    const nodes = all();
    for (const form of room.querySelectorAll("form")) form.onsubmit = (event) => event.preventDefault(); // of a field
    const lost = current && !current.isConnected && document.activeElement === document.body;
    if (!current || !current.isConnected) current = (current && successor(labelOf(current), nodes)) || nodes[0];
    for (const node of nodes) {
      node.setAttribute("role", "button");
      node.setAttribute("tabindex", node === current ? "0" : "-1");
    }
    if (lost && current) current.focus({ preventScroll: true });
  }

  // The nearest node in a direction: the distance ahead counts double, so that the next row comes before a far one.
  function beside(from, [right, down]) {
    const middle = (node) => {
      const box = node.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    };
    const [x, y] = middle(from);
    let [best, least] = [null, Infinity];
    for (const node of all()) {
      const [dx, dy] = [middle(node)[0] - x, middle(node)[1] - y];
      const ahead = right * dx + down * dy;
      const away = 2 * ahead + Math.abs(down * dx + right * dy);
      if (node !== from && ahead > 1 && away < least) [best, least] = [node, away];
    }
    return best;
  }

  room.addEventListener("keydown", (event) => {
    const node = event.target.closest(NODES);
    if (!node) return;
    const side = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter" || event.key === " ") tell(node, "click");
    else if (side) (beside(node, side) || node).focus();
    else return;
    event.preventDefault();
  });
  room.addEventListener("focusin", (event) => {
    const node = event.target.closest(NODES);
    if (!node) return;
    if (current) current.setAttribute("tabindex", "-1");
    current = node;
    node.setAttribute("tabindex", "0");
    if (node.matches(":focus-visible")) tell(node, "pointerover");
  });
  room.addEventListener("focusout", (event) => {
    if (event.target.closest(NODES)) tell(event.target, "pointerout");
  });
  new MutationObserver(tag).observe(room, { childList: true, subtree: true });
  tag();
}

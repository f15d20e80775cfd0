// @ts-check
// The nodes of a graph by keyboard: Tab leads to one of them, arrow keys to the nearest on that side, Enter clicks.
// Vega draws marks that take no focus, and draws them anew when what is shown changes.
/** @param {HTMLElement} room */
function reachNodes(room) {
  const NODES = '[aria-roledescription="node"]';
  const FOLD = "Fold ";
  /** @type {SVGElement | null} */
  let current = null;
  const labelOf = (/** @type {SVGElement} */ node) => node.getAttribute("aria-label") || "";
  const all = () => /** @type {SVGElement[]} */ ([...room.querySelectorAll(NODES)]);
  const nodeOf = (/** @type {Event} */ event) => /** @type {SVGElement | null} */ (/** @type {Element} */ (event.target).closest(NODES));
  if (room.dataset.reachable || !all().length) return;
  room.dataset.reachable = "yes"; // what is drawn anew in the same room is seen below

  /** @param {Element} node @param {string} type */
  function send(node, type) {
    const box = node.getBoundingClientRect();
    const at = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
    const Kind = type === "click" ? MouseEvent : PointerEvent;
    node.dispatchEvent(new Kind(type, { bubbles: true, cancelable: true, view: window, ...at }));
  }

  // Where the focus goes when a node is drawn no more: a supernode and the signs that fold it stand for each other.
  /** @param {string} label @param {SVGElement[]} nodes */
  function successor(label, nodes) {
    const other = label.startsWith(FOLD) ? label.slice(FOLD.length) : FOLD + label;
    return nodes.find((node) => labelOf(node) === label) || nodes.find((node) => labelOf(node) === other);
  }

  function tag() {
    const nodes = all();
    for (const form of room.querySelectorAll("form")) form.onsubmit = (event) => event.preventDefault(); // of a field
    const focused = /** @type {Document | ShadowRoot} */ (room.getRootNode()).activeElement;
    const lost = current && !current.isConnected && (!focused || focused === document.body);
    if (!current || !current.isConnected) current = (current && successor(labelOf(current), nodes)) || nodes[0];
    for (const node of nodes) {
      node.setAttribute("role", "button");
      node.setAttribute("tabindex", node === current ? "0" : "-1");
    }
    if (lost && current) current.focus({ preventScroll: true });
  }

  // The nearest node in a direction: the distance ahead counts double, so that the next row comes before a far one.
  /** @param {SVGElement} from @param {number[]} direction */
  function beside(from, [right, down]) {
    const middle = (/** @type {SVGElement} */ node) => {
      const box = node.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    };
    const [x, y] = middle(from);
    let [best, least] = [/** @type {SVGElement | null} */ (null), Infinity];
    for (const node of all()) {
      const [dx, dy] = [middle(node)[0] - x, middle(node)[1] - y];
      const ahead = right * dx + down * dy;
      const away = 2 * ahead + Math.abs(down * dx + right * dy);
      if (node !== from && ahead > 1 && away < least) [best, least] = [node, away];
    }
    return best;
  }

  room.addEventListener("keydown", (event) => {
    const node = nodeOf(event);
    if (!node) return;
    /** @type {Record<string, number[]>} */
    const sides = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const side = sides[event.key];
    if (event.key === "Enter" || event.key === " ") send(node, "click");
    else if (side) (beside(node, side) || node).focus();
    else return;
    event.preventDefault();
  });
  room.addEventListener("focusin", (event) => {
    const node = nodeOf(event);
    if (!node) return;
    if (current) current.setAttribute("tabindex", "-1");
    current = node;
    node.setAttribute("tabindex", "0");
    if (node.matches(":focus-visible")) send(node, "pointerover");
  });
  room.addEventListener("focusout", (event) => {
    const node = nodeOf(event);
    if (node) send(node, "pointerout");
  });
  new MutationObserver(tag).observe(room, { childList: true, subtree: true });
  tag();
}

// @ts-check
// Runs in a notebook, once: tells each figure's frame that asks whether the notebook is light or dark around it.
const notebook = /** @type {any} */ (window);
if (!notebook.interpEmergeGround) {
  notebook.interpEmergeGround = true;
  addEventListener("message", ({ source, data }) => {
    if (data?.ask !== "ground") return;
    const around = [...document.querySelectorAll("iframe")].find((one) => one.contentWindow === source)?.parentElement;
    if (around) /** @type {Window} */ (source).postMessage({ ground: groundAround(around) }, "*");
  });
}

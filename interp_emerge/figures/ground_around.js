// Runs in a notebook, once: tells each figure's frame that asks whether the notebook is light or dark around it.
if (!window.interpEmergeGround) {
  window.interpEmergeGround = true;
  addEventListener("message", ({ source, data }) => {
    if (data?.ask !== "ground") return;
    let around = [...document.querySelectorAll("iframe")].find((frame) => frame.contentWindow === source)?.parentElement;
    if (!around) return;
    for (; around; around = around.parentElement) {
      const found = getComputedStyle(around).backgroundColor.match(/^rgba?\((\d+), (\d+), (\d+)(?:, ([\d.]+))?/);
      if (!found || (found[4] && Number(found[4]) < 0.5)) continue;
      const light = 0.3 * found[1] + 0.6 * found[2] + 0.1 * found[3];
      source.postMessage({ ground: light < 128 ? "dark" : "light" }, "*");
      return;
    }
    source.postMessage({ ground: "light" }, "*");
  });
}

// @ts-check
// Whether a notebook is light or dark around an element. Where nothing around it has a colour, its text tells: light text
// stands on dark ground.
const groundAround = (/** @type {Element} */ element) => {
  const brightness = (/** @type {string} */ colour) => {
    const [red, green, blue, alpha = 1] = (colour.match(/[\d.]+/g) || []).map(Number);
    return alpha < 0.5 ? undefined : 0.3 * red + 0.6 * green + 0.1 * blue;
  };
  for (let around = /** @type {Element | null} */ (element); around; around = around.parentElement) {
    const ground = brightness(getComputedStyle(around).backgroundColor);
    if (ground !== undefined) return ground < 128 ? "dark" : "light";
  }
  return (brightness(getComputedStyle(element).color) ?? 0) < 128 ? "light" : "dark";
};

// Opens the page as its address says.
async function start() {
  document.documentElement.dataset.state = "drawing";
  readAddress();
  themes();
  for (const block of document.querySelectorAll(".table-block")) tableOf(block);
  explorer();
  for (const group of document.querySelectorAll("[data-tabs]")) tabs(group);
  folds();
  anchors();
  onTheme.push(redrawCharts);
  document.documentElement.dataset.ready = "yes";
  if (chosen.has("at")) goTo(chosen.get("at"), false);
  addEventListener("hashchange", () => {
    readAddress();
    for (const show of followers) show();
    if (chosen.has("at")) goTo(chosen.get("at"), false);
  });
  await drawVisible(document);
  document.documentElement.dataset.state = "drawn";
}
start();

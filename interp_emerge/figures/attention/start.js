// @ts-check
"use strict";
// An attention view that fills a page, whose address holds the state.
(async () => {
  const place = wholePage();
  const view = attentionView(place, (chosen) => {
    try {
      history.replaceState(null, "", "#" + chosen);
    } catch {
      // A page inside a notebook's cell has no address of its own.
    }
  });
  const go = () => view.go(new URLSearchParams(location.hash.slice(1)));
  addEventListener("hashchange", go);
  await go();
  place.page.dataset.ms = String(Math.round(performance.now()));
})();

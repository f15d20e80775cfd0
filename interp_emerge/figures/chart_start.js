// @ts-check
"use strict";
// A figure that fills a page.
drawFigure(wholePage(), (library) => {
  const script = document.createElement("script");
  script.textContent = library;
  document.head.append(script);
  return /** @type {any} */ (window).vegaEmbed;
});

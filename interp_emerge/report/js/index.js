// The index over studies: its table sorts, filters and downloads as those of a report do.
readAddress();
themes();
for (const block of document.querySelectorAll(".table-block")) tableOf(block);
addEventListener("hashchange", () => {
  readAddress();
  for (const show of followers) show();
});
document.documentElement.dataset.state = "drawn";

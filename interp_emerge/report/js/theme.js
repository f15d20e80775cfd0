// Light or dark: as the system says, until the reader chooses.
const darkSystem = matchMedia("(prefers-color-scheme: dark)");
const onTheme = [];

function isDark() {
  const theme = chosen.get("theme");
  return theme ? theme === "dark" : darkSystem.matches;
}

function themes() {
  const button = document.getElementById("theme");
  let shown = null;
  function show() {
    const theme = chosen.get("theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    button.textContent = isDark() ? "Light mode" : "Dark mode";
    if (shown !== null && shown !== isDark()) for (const redraw of onTheme) redraw();
    shown = isDark();
  }
  button.hidden = false;
  button.addEventListener("click", () => {
    choose("theme", isDark() ? "light" : "dark");
    show();
  });
  darkSystem.addEventListener("change", show);
  follow(show);
}

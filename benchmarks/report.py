"""Size, length and speed of the page of a study in Chromium: `python -m benchmarks.report RUN`, a study's directory.

Seconds are from opening the page until what is visible is drawn, the least of three, in one browser. A move of the
slider over training is timed until the page is laid out anew, at the size that is shown first. `--keep` puts the table
into `benchmarks/README.md`.
"""

import argparse
import os
import shutil
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.attention import FLAGS, REPEATS, keep

START, END = "<!-- report -->\n", "<!-- /report -->"
MOVES = """() => {
    const slider = document.getElementById("explorer-step");
    return Array.from({ length: 60 }, (_, move) => {
        const begun = performance.now();
        slider.value = move % (Number(slider.max) + 1);
        slider.dispatchEvent(new Event("input"));
        document.body.getBoundingClientRect();
        return performance.now() - begun;
    }).sort((a, b) => a - b);
}"""


def opened(browser: Browser, path: Path) -> tuple[float, int, list[float]]:
    """Seconds until it is drawn, its length in pixels with tables folded, and milliseconds of moves, ascending."""
    page = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
    begun = time.perf_counter()
    page.goto(path.resolve().as_uri(), wait_until="load")
    page.wait_for_selector("html[data-state=drawn]", timeout=120_000)
    seconds = time.perf_counter() - begun
    height, moves = page.evaluate("document.documentElement.scrollHeight"), page.evaluate(MOVES)
    page.context.close()
    return seconds, height, moves


def table(path: Path) -> str:
    """The measurements, in Markdown."""
    binary = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=binary, args=list(FLAGS))
        seconds, heights, moves = zip(*(opened(browser, path) for _ in range(REPEATS)), strict=True)
        about = f"Chromium {browser.version}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f} while measuring.\n"
        browser.close()
    best = min(moves, key=lambda one: one[len(one) // 2])
    rows = [
        ("page, MB", path.stat().st_size / 1e6, "2f", 6),
        ("length at 1280 px, tables folded, px", max(heights), "0f", 6000),
        ("drawn in, s", min(seconds), "2f", 2),
        ("a move of the slider, median, ms", best[len(best) // 2], "0f", 50),
        ("a move of the slider, 95th percentile, ms", best[int(0.95 * len(best))], "0f", 50),
    ]
    lines = ["| | measured | goal, at most | met |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {value:,.{form}} | {goal:,} | {'yes' if value <= goal else '**no**'} |"
        for name, value, form, goal in rows
    ]
    return "\n".join([about, *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a study's directory, such as runs/miniature-induction")
    parser.add_argument("--keep", action="store_true", help="put the table into benchmarks/README.md")
    asked = parser.parse_args()
    print(measured := table(asked.run / "report.html"))
    if asked.keep:
        keep(measured, START, END)


if __name__ == "__main__":
    main()

"""Size and drawing time of attention pages in Chromium: the package's renderer beside CircuitsVis.

Patterns are a softmax of random numbers, which barely shrinks when deflated, so sizes are at their largest. Seconds are
from opening the page until every head is drawn, the least of three, in one browser. Beside them stand the processor's
seconds in the page's main thread, which depend less on what else the machine does. `--keep` puts the table into
`benchmarks/README.md`.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from interp_emerge.core.attention import AttentionWeights
from interp_emerge.figures import AttentionView

SHAPES = ((12, 16), (64, 64), (144, 64), (384, 128), (1024, 128))
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
GOAL = "at most 10 MB, drawn within 3 s"
README = Path(__file__).parent / "README.md"
START, END = "<!-- attention -->\n", "<!-- /attention -->"
REPEATS = 3


def view_of(n_heads: int, n_tokens: int, renderer: str) -> AttentionView:
    rng = np.random.default_rng(0)
    raw = np.exp(rng.normal(size=(n_heads, n_tokens, n_tokens))) * np.tri(n_tokens)
    frame = AttentionWeights(
        weights=(raw / raw.sum(-1, keepdims=True)).astype(np.float32),
        heads=tuple(f"a{head // 12}.h{head % 12}" for head in range(n_heads)),
        tokens=tuple(f" token{place}" for place in range(n_tokens)),
    )
    return AttentionView(frames=(frame,), renderer=renderer)


def drawn(browser: Browser, path: Path) -> tuple[float, float]:
    """Seconds until everything is drawn: on the clock, and of the processor in the page's main thread."""
    page = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    begun = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-state=drawn]", timeout=120_000)
    seconds = time.perf_counter() - begun
    spent = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}["TaskDuration"]
    page.context.close()
    return seconds, spent


def table() -> str:
    """The measurements, in Markdown."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    lines = [
        "| heads × tokens | renderer | numbers | made in, s | page, MB | drawn in, s | processor, s | goal | met |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    with sync_playwright() as started, tempfile.TemporaryDirectory() as folder:
        browser = started.chromium.launch(executable_path=path, args=list(FLAGS))
        for n_heads, n_tokens in SHAPES:
            for renderer in ("own", "circuitsvis"):
                if renderer == "circuitsvis" and (n_heads > 64 or n_tokens > 64):
                    continue
                view = view_of(n_heads, n_tokens, renderer)
                begun = time.perf_counter()
                page = view.save(Path(folder) / "page.html")
                made, size = time.perf_counter() - begun, page.stat().st_size / 1e6
                seconds, spent = map(min, zip(*(drawn(browser, page) for _ in range(REPEATS)), strict=True))
                exact = renderer == "circuitsvis" or '"exact":true' in page.read_text()
                met = "yes" if size <= 10 and seconds <= 3 else "**no**"
                lines.append(
                    f"| {n_heads} × {n_tokens} | {renderer} | {'exact' if exact else 'bytes'} | {made:.1f} | "
                    f"{size:.2f} | {seconds:.2f} | {spent:.2f} | {GOAL} | {met} |"
                )
        about = f"Chromium {browser.version}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f} while measuring.\n"
        browser.close()
    return "\n".join([about, *lines])


def keep(measured: str, start: str, end: str) -> None:
    """Put a table into `benchmarks/README.md`, between two marks."""
    before, rest = README.read_text().split(start)
    README.write_text(f"{before}{start}{measured}\n{end}{rest.split(end)[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="put the table into benchmarks/README.md")
    asked = parser.parse_args()
    print(measured := table())
    if asked.keep:
        keep(measured, START, END)


if __name__ == "__main__":
    main()

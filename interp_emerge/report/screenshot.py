"""A picture of a report's page, taken by a Chromium that is installed on this machine."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from interp_emerge.core.errors import InputError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update")  # fmt: skip
PATIENCE = 120
"""Seconds after which a browser that has not finished is given up."""
SCRIPTS_MS = 8000
"""Milliseconds of the page's own clock until the picture is taken; its scripts have drawn everything by then."""


def screenshot(page: Path, picture: Path, *, at: str = "", width: int = 1280, height: int = 1400) -> Path:
    """Write a PNG of the page's beginning; returns the picture's path.

    Args:
        page: the report.
        picture: where to write the PNG.
        at: what follows `#` in the page's address, such as `size=560k&step=500`; it chooses what is shown.
        width: width of the window, pixels.
        height: height of the window, pixels.

    Raises:
        InputError: no Chromium is installed, the picture's name does not end in .png, or the browser fails.
    """
    if picture.suffix.lower() != ".png":
        raise InputError(f"{picture} is not the name of a PNG file; give a name that ends in .png")
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.unlink(missing_ok=True)
    address = page.resolve().as_uri() + (f"#{at.lstrip('#')}" if at else "")
    with tempfile.TemporaryDirectory() as profile:
        command = [_browser(), *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        command += [f"--virtual-time-budget={SCRIPTS_MS}", f"--screenshot={picture.resolve()}", address]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"the browser did not finish in {PATIENCE} s; try again when the machine is idle"
            ) from error
    if done.returncode or not picture.is_file():
        said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise InputError(f"the browser wrote no picture ({said[0]}); set CHROMIUM to the path of another one")
    return picture


def _browser() -> str:
    """The browser that CHROMIUM names, or the first that is installed."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found or not shutil.which(found):
        raise InputError("no Chromium to take the picture with; install it or set CHROMIUM to its path")
    return found

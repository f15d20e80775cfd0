"""Load a tiny model of every kind that transformers offers as a causal language model, and see what can be done.

    python -m benchmarks.architectures [--kinds llama,falcon] [--keep]

Each kind is built with random weights and run by plain transformers. Then it is hooked: measured logits are compared
with its own; where it is split into heads and edges, so are the logits that its parts give, on a few tokens and on more
than any window, chunk or original context of its configuration; where it is not split, the logits that TransformerLens
computes. Every kind has a process of its own, so that none can take the others with it. `--keep` puts the table into
`docs/architectures.md`.
"""

import argparse
import multiprocessing
import os
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from torch import Tensor
from transformers import AutoModelForCausalLM, logging
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import interp_emerge as ie
from benchmarks.tiny_configs import ORDINARY, VARIANTS, tiny_config
from interp_emerge.caching.recording import final_logits, record
from interp_emerge.core.errors import InterpEmergeError

PAGE = Path(__file__).parent.parent / "docs" / "architectures.md"
START, END = "<!-- measured -->\n", "<!-- /measured -->"
SHORT, LONG, ROWS = 5, 40, 2
"""Tokens of a prompt: within every window of the tiny configurations, and beyond all of them."""
TOLERANCE = 1e-3
"""Root of the mean squared difference of logits, as a fraction of their spread: that of the package's own proof."""
SECONDS, AT_ONCE = 120, 2
WIDE = 0.25
"""Standard deviation of the drawn weights: large enough for every part to matter."""


@dataclass(kw_only=True)
class Finding:
    """What was found out about one kind of model; a text that is empty means that all is well."""

    kind: str
    variant: str = ""
    made: str = ""
    """The class of the model."""
    not_run: str = ""
    """Why plain transformers did not build or run it here."""
    not_causal: bool = False
    refused: str = "not reached"
    """Why it is not measured."""
    not_split: str = "not reached"
    """Why it is not split into heads and edges."""
    gaps: dict[int, float] = field(default_factory=dict)
    """Difference of the parts' logits from the model's, as a fraction of their spread, by length of the prompt."""
    not_in_lens: str = "not tried"
    """Why node patching through TransformerLens does not work."""
    faults: list[str] = field(default_factory=list)
    """Whatever is wrong: errors that are not meant for the user, numbers that are off."""

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.variant}" if self.variant else self.kind

    def cells(self) -> list[str]:
        """The row as the table shows it."""
        if self.not_run:
            return [self.name, self.made, f"not run: {self.not_run}", "", ""]
        measured = self.refused or "yes"
        if self.refused:
            return [self.name, self.made, measured, "no: not measured", ""]
        if not self.not_split:
            return [self.name, self.made, measured, "**split**", ""]
        instead = "patching heads through `.bridge`" if not self.not_in_lens else f"nothing ({self.not_in_lens})"
        return [self.name, self.made, measured, self.not_split, instead]


def main() -> None:
    """Print a Markdown table; one line a kind, as it is found out, goes to standard error."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kinds", default="", help="which kinds, commas between; empty means all")
    arguments.add_argument("--keep", action="store_true", help="put the table into docs/architectures.md")
    chosen = arguments.parse_args()
    every = [(kind, variant) for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES for variant in ("", *VARIANTS.get(kind, ()))]
    kinds = chosen.kinds.split(",") if chosen.kinds else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    found = sorted(sweep([one for one in every if one[0] in kinds]), key=lambda finding: finding.name)
    table = "\n".join([*heading(found), *rows(found)]) + "\n"
    print(table)
    if chosen.keep:
        before, rest = PAGE.read_text().split(START)
        PAGE.write_text(before + START + table + END + rest.split(END)[1])
    sys.exit(any(finding.faults for finding in found))


def sweep(wanted: Iterable[tuple[str, str]]) -> Iterable[Finding]:
    """A finding for every kind, each from a process of its own, a few at once."""
    prepare()
    waiting, running = [*wanted], {}
    fork = multiprocessing.get_context("fork")
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            kind, variant = waiting.pop(0)
            ours, theirs = fork.Pipe(duplex=False)
            process = fork.Process(target=_send, args=(kind, variant, theirs))
            process.start()
            theirs.close()
            running[ours] = Finding(kind=kind, variant=variant), process, time.monotonic()
        ready = wait([*running], timeout=1)
        for connection, (finding, process, begun) in [*running.items()]:
            if connection not in ready and time.monotonic() - begun < SECONDS:
                continue
            try:
                finding = connection.recv() if connection in ready else finding
            except EOFError:
                finding.not_run = f"the process ended with {process.exitcode}"
            if connection not in ready:
                finding.faults.append(f"not done in {SECONDS} s")
            process.kill()
            process.join()
            del running[connection]
            print(f"{time.monotonic() - begun:5.1f} s", *finding.cells(), *finding.faults, file=sys.stderr, flush=True)
            yield finding


def prepare() -> None:
    """Import what every kind needs, once, and keep to one thread, so that the processes can be forked."""
    import transformer_lens.model_bridge  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401

    import interp_emerge.families.hooking  # noqa: F401

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")


def _send(kind: str, variant: str, connection: Connection) -> None:
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    connection.send(find_out(kind, variant))
    connection.close()


def find_out(kind: str, variant: str = "") -> Finding:
    """What can be done with a tiny model of this kind."""
    finding = Finding(kind=kind, variant=variant, made=MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind])
    try:
        hf = build(kind, variant)
        plain = {length: logits_of(hf, prompts(length)) for length in (SHORT, LONG)}
        finding.not_causal = not is_causal(hf)
    except Exception as error:  # noqa: BLE001
        finding.not_run = one_line(error)
        return finding
    try:
        model = ie.hook(hf)
        finding.refused = ""
        require(finding, "measured logits", model.logits(prompts(LONG)), plain[LONG][:, -1])
        if finding.not_causal:
            finding.faults.append("measured, but not causal")
    except Exception as error:  # noqa: BLE001
        finding.refused = reason(finding, error)
        return finding
    split(finding, model, plain)
    if finding.not_split:
        try:
            finding.not_in_lens = patch_in_lens(model.bridge, plain[LONG])
        except Exception as error:  # noqa: BLE001
            finding.not_in_lens = one_line(error)
    return finding


def patch_in_lens(bridge: Any, expected: Tensor) -> str:
    """Why heads cannot be patched through TransformerLens; empty where its logits are right and follow a patch."""
    own = bridge(prompts(LONG))
    if not gap(own, expected) < TOLERANCE:
        return f"its logits are off by {gap(own, expected):.1g}"

    def without_first_head(z: Tensor, **_: Any) -> Tensor:
        return torch.cat([torch.zeros_like(z[:, :, :1]), z[:, :, 1:]], 2)

    patched = bridge.run_with_hooks(prompts(LONG), fwd_hooks=[("blocks.0.attn.hook_z", without_first_head)])
    return "" if gap(patched, expected) > TOLERANCE else "it does not follow a patch of a head"


def split(finding: Finding, model: ie.HookedModel, plain: dict[int, Tensor]) -> None:
    """Note whether the model is split, and whether its parts compute what it computes."""
    try:
        _ = model.decoder
        finding.not_split = ""
        for length, expected in plain.items():
            recorded = final_logits(model, record(model, prompts(length)))
            finding.gaps[length] = gap(recorded, expected[:, -1])
            require(finding, f"logits of the parts at {length} tokens", recorded, expected[:, -1])
        scores = ie.score(model, pairs(), method="eap").to_frame()["score"]
        if not scores.notna().all() or not scores.abs().max() < 1e9:
            finding.faults.append("scores of edges are not finite")
    except Exception as error:  # noqa: BLE001
        finding.not_split = reason(finding, error)


def build(kind: str, variant: str) -> Any:
    """The tiny model with every parameter drawn, gains around one."""
    torch.manual_seed(0)
    config, name = tiny_config(kind, variant), MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind]
    known = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    hf = (AutoModelForCausalLM.from_config(config) if known else getattr(transformers, name)(config)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in hf.parameters():
            near = 1.0 if parameter.ndim == 1 and bool((parameter == 1).all()) else 0.0
            parameter.copy_(near + WIDE * torch.randn(parameter.shape, generator=generator))
    return hf


def prompts(length: int) -> Tensor:
    """Token ids of ordinary text, the shorter prompts at the start of the longer ones."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(ORDINARY.start, ORDINARY.stop, (ROWS, LONG), generator=generator)[:, :length]


def pairs() -> ie.PromptPairs:
    """Pairs that differ in an early token and in a late one."""
    clean = prompts(LONG)
    corrupt = clean.clone()
    for place in (1, LONG - 3):
        corrupt[:, place] = ORDINARY.start + (clean[:, place] + 1 - ORDINARY.start) % len(ORDINARY)
    answer = torch.tensor([*ORDINARY][:ROWS])
    return ie.PromptPairs(clean=clean, corrupt=corrupt, answer=answer, foil=answer + ROWS)


@torch.no_grad()
def logits_of(hf: Any, tokens: Tensor) -> Tensor:
    """The model's own logits at every position.

    Raises:
        ValueError: they are not finite, or other ones come at every run.
    """
    first, second = (hf(input_ids=tokens, use_cache=False).logits for _ in range(2))
    if not torch.isfinite(first).all():
        raise ValueError("logits are not finite")
    if not gap(first, second) < TOLERANCE:
        raise ValueError("the same prompt has other logits at every run")
    return first


def is_causal(hf: Any) -> bool:
    """Whether earlier logits stay when the last token is another one."""
    tokens = prompts(SHORT)
    other = tokens.clone()
    other[:, -1] = ORDINARY.start + (tokens[:, -1] + 1 - ORDINARY.start) % len(ORDINARY)
    return gap(logits_of(hf, other)[:, :-1], logits_of(hf, tokens)[:, :-1]) < TOLERANCE


def gap(found: Tensor, expected: Tensor) -> float:
    """Largest difference of the logits at one place, root of the mean square, as a fraction of their spread."""
    difference = (found.double() - expected.double()).square().mean(-1).sqrt()
    return float((difference / expected.double().std(-1).clamp_min(1e-30)).max())


def require(finding: Finding, what: str, found: Tensor, expected: Tensor) -> None:
    """Note a fault unless two sets of logits agree."""
    if found.shape != expected.shape or not gap(found, expected) < TOLERANCE:
        by = gap(found, expected) if found.shape == expected.shape else f"shape {tuple(found.shape)}"
        finding.faults.append(f"{what} are off by {by}")


def reason(finding: Finding, error: Exception) -> str:
    """Why something is refused; an error that is not meant for the user is a fault."""
    if not isinstance(error, InterpEmergeError):
        finding.faults.append(f"{type(error).__name__}: {one_line(error)}")
    said = re.search(r"not split into heads and edges: (.*?)(; abilities can still be measured.*)?$", str(error))
    return one_line(said[1] if said else error)


def one_line(error: Exception | str) -> str:
    """What an error says, as a cell of a table takes it."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if len(text) <= 300 else f"{text[:200]} … {text[-90:]}").replace("|", "\\|")


def heading(found: list[Finding]) -> list[str]:
    """Counts, and what they were counted with."""
    run = [finding for finding in found if not finding.not_run]
    measured = [finding for finding in run if not finding.refused]
    several = Counter("split" if not finding.not_split else "not split" for finding in measured)
    lens = sum(not finding.not_in_lens for finding in measured if finding.not_split)
    variants = sum(bool(finding.variant) for finding in found)
    packages = ", ".join(f"{name} {version(name)}" for name in ("transformers", "transformer-lens", "torch"))
    return [
        f"{len(found) - variants} kinds and {variants} variants of them, {packages}. Plain transformers runs "
        f"{len(run)}; {len(measured)} of these are measured, {several['split']} are split into heads and edges and "
        f"{several['not split']} are not. In {lens} of the latter heads can be patched through TransformerLens.",
        "",
    ]


def rows(found: list[Finding]) -> list[str]:
    """The table, in Markdown."""
    lines = ["| model type | class | measured | heads and edges | besides measuring |", "|" + "---|" * 5]
    return lines + ["| " + " | ".join(finding.cells()) + " |" for finding in found]


if __name__ == "__main__":
    main()

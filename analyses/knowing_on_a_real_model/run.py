"""What a real model knows of the two people of an indirect object, in which layers, and where it uses it.

python analyses/knowing_on_a_real_model/run.py MODEL_DIRECTORY          # about ten minutes of one core
python analyses/knowing_on_a_real_model/run.py MODEL_DIRECTORY --keep   # also writes known.svg and used.svg
"""

import sys
import time
from pathlib import Path

import pandas as pd
from agreeing import agreement, layers

import interp_emerge as ie

HERE, PLACE = Path(__file__).parent, Path("build/knowing")
TEMPLATES = tuple(f"{name}, {order}" for name in ("went", "after lunch") for order in ("ABBA", "BABA"))
DRAWN, NAMES, EXCHANGED = 24_000, 5, 32
"""Pairs drawn; first names of the list that both people of a kept pair have; and kept pairs that are exchanged."""
POSITIONS = ("io", "s1", "s2", "last")
FEW = tuple(range(2, 30, 3))
CORRUPTIONS = {"receiver": "abc", "subject": "swapped subject"}
"""What each variable is exchanged against: three other names, or the same two with their parts exchanged."""
LEARNED = {("subject", "last"): None, ("receiver", "last"): FEW, ("subject", "s2"): FEW, ("receiver", "io"): FEW}
"""Where directions are learned too, and in which layers; before the end every step runs all later tokens."""
CARRIES = 0.1
"""A layer carries a variable if the lower end of its share of the gap is above this."""


def main(directory: str, *, keep: bool) -> None:
    """Print what is known and used by layer and position, and how far two interventions agree."""
    PLACE.mkdir(parents=True, exist_ok=True)
    known = part(directory, "subject", "ridge", POSITIONS)
    exchanges = [(variable, "interchange", POSITIONS, None) for variable in CORRUPTIONS]
    exchanges += [(variable, "das", (position,), layers) for (variable, position), layers in LEARNED.items()]
    used = pd.concat(part(directory, *one) for one in exchanges)
    tell(known, used)
    if keep:
        draw(known, used)


def part(
    directory: str, variable: str, method: str, positions: tuple[str, ...], layers: tuple[int, ...] | None = None
) -> pd.DataFrame:
    """One table, kept: what was computed before an interruption is not computed again."""
    file = PLACE / f"{variable} at {' '.join(positions)}, {method}.csv"
    if not file.is_file():
        begun, clock = time.process_time(), time.time()
        family = ie.load_family(directory)
        model = family.load(family.sizes[-1], prepend_bos=False)
        pairs = ie.load_ability("ioi").sample(model, DRAWN, templates=TEMPLATES, corruption=CORRUPTIONS[variable])
        pairs = pairs[(pairs.variables["receiver"] < NAMES) & (pairs.variables["subject"] < NAMES)]
        if method == "ridge":
            found = ie.probe(model, pairs, variable=[*CORRUPTIONS], positions=positions, method=method)
        else:
            given = {"positions": positions, "layers": layers, "placebos": 2, "steps": 5 if "last" in positions else 3}
            found = ie.probing.use(model, pairs[:EXCHANGED], variable=variable, method=method, **given)
        found.to_frame().round(4).to_csv(file, index=False)
        spent = f"{time.process_time() - begun:.0f} s of processor, {time.time() - clock:.0f} s by the clock"
        print(f"{file.stem}: {spent}", file=sys.stderr, flush=True)
    return pd.read_csv(file)


def tell(known: pd.DataFrame, used: pd.DataFrame) -> None:
    """Print the layers that know and that carry each variable, and the agreement of the two interventions."""
    for (variable, position), rows in known.groupby(["variable", "position"], sort=False):
        beyond = rows[(rows[["gain_low", "over_untrained_low"]] > 0).all(axis=1)]
        best = rows.nlargest(1, "accuracy").iloc[0]
        beside = ", ".join(f"{arm} {best[arm]:.2f}" for arm in ("untrained", "embedding", "control", "shuffled"))
        print(f"{variable} at {position}: beyond embedding and untrained model in {layers(beyond)}; "
              f"best {best['accuracy']:.2f} in layer {best['layer']} ({beside})")  # fmt: skip
    for (variable, position), rows in used.groupby(["variable", "position"], sort=False):
        found = {method: of.set_index("layer") for method, of in rows.groupby("method", sort=False)}
        for method, of in found.items():
            carrying = layers(of[of["share_low"] > CARRIES].reset_index())
            print(f"{variable} at {position}, {method}: carried by {carrying}; highest share {of['share'].max():.2f}")
        if len(found) == 2:
            print(f"  rank correlation of the two over {len(found['das'])} layers: {agreement(*found.values())}")


def draw(known: pd.DataFrame, used: pd.DataFrame) -> None:
    """Accuracy with its controls where the names were read before, and the share of the gap, by layer."""
    known, used = (table.assign(panel=table["variable"] + " at " + table["position"]) for table in (known, used))
    arms = {"accuracy": "this model", "untrained": "untrained", "embedding": "embedding alone", "shuffled": "shuffled"}
    lines = (
        known[known["position"].isin(["s2", "last"])]
        .melt(["panel", "layer"], [*arms], "of")
        .assign(of=lambda rows: rows["of"].map(arms))
    )
    given = {"x": "layer", "panel": "panel", "scales": ("linear", "linear")}
    ie.figures.interval_lines(lines, titles=("layer", "accuracy"), colour="of", **given).save(HERE / "known.svg")
    titles = ("layer", "effect, share of the gap")
    ie.figures.interval_lines(used, value="share", titles=titles, colour="method", **given).save(HERE / "used.svg")


if __name__ == "__main__":
    main(*(word for word in sys.argv[1:] if word != "--keep"), keep="--keep" in sys.argv)

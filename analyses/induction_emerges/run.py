"""Run the study of this folder, then print when each ability and each part of its circuit appears."""

import sys
from pathlib import Path

import interp_emerge as ie

HERE = Path(__file__).parent


def main(*families: str) -> None:
    """Print the onset of every ability over sizes, then of every part of the circuit over training steps."""
    fields = {"family": families[0], "out": f"runs/induction_emerges-{Path(families[0]).name}"} if families else {}
    study = ie.Study.load(HERE / "study.toml", **fields)
    report = study.run()
    onsets = study.table("onsets")
    columns = ["ability", "last_without", "first_with", "ci_low", "ci_high", "verdict"]
    print(onsets[onsets["axis"] == "size"][columns].to_string(index=False))
    steps = onsets[(onsets["axis"] == "step") & (onsets["ability"] == "induction")]
    columns = ["at", "quantity", "component", "last_without", "first_with", "ci_low", "ci_high"]
    print(steps[columns].to_string(index=False))
    print(report)


if __name__ == "__main__":
    main(*sys.argv[1:])

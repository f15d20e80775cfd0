"""The promises that verdicts and intervals make, each with the simulation that measures whether it is kept."""

from promises import forms, null_circuits, onsets, seeds, sign_flips

PROMISES = (*sign_flips.PROMISES, *seeds.PROMISES, *forms.PROMISES, *onsets.PROMISES,
            *null_circuits.PROMISES)  # fmt: skip

"""The promises that verdicts and intervals make, each with the simulation that measures whether it is kept."""

from promises import forms, onsets, same_circuit, seeds, sign_flips, stability

PROMISES = (
    *sign_flips.PROMISES,
    *seeds.PROMISES,
    *forms.PROMISES,
    *onsets.PROMISES,
    *stability.PROMISES,
    *same_circuit.PROMISES,
)

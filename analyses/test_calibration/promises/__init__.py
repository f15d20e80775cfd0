"""The promises that verdicts and intervals make, each with the simulation that measures whether it is kept."""

from promises import areas, forms, onsets, seeds, sign_flips

PROMISES = (*areas.PROMISES, *sign_flips.PROMISES, *seeds.PROMISES, *forms.PROMISES, *onsets.PROMISES)

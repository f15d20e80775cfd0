"""The promises that verdicts and intervals make, each with the simulation that measures whether it is kept."""

from promises import forms, onsets, roles, seeds, sign_flips

PROMISES = (*sign_flips.PROMISES, *seeds.PROMISES, *forms.PROMISES, *onsets.PROMISES, *roles.PROMISES)

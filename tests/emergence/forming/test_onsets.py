"""Onsets, lags and order of all quantities in a formation; onsets of abilities where sizes are missing."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.forming.onsets import (
    LEADING,
    WITHIN_NOISE,
    ability_onsets,
    component_onsets,
    lag_table,
    order_table,
)
from interp_emerge.emergence.forming.order import LagVerdict
from interp_emerge.emergence.scale.onset import Criterion, OnsetVerdict, find_onset
from interp_emerge.emergence.scale.seeds import success_by_size

INDUCTION = ie.load_ability("induction")
STEPS = (0, 100, 250, 500, 1000)
ROLES = pd.DataFrame({"role": ["induction"], "node": ["a1.h0"], "baseline": [0.2]})
CURVES = {
    ("induction", "a1.h0"): [0, 0.1, 0.3, 0.9, 1.0],
    ("effect", "a1.h0"): [0, 0, 0.2, 2.8, 4.0],
    ("effect", "m0"): [0.1, 1.5, 1.9, 2.0, 2.0],
    ("effect", "m1"): [0, 0, 0, -0.4, -2.0],
    ("edge effect", "a0.h1 → a1.h0.k"): [0, 0, 0.1, 1.0, 1.2],
    ("edge effect", "m0 → a1.h0.v"): [0.0] * 5,
}
FAITHFULNESS = [None, None, (0.3, -0.4, 1.2), (0.9, 0.7, 1.1), (0.8, 0.7, 0.9)]


def prompts(means, *, noise: float, n: int = 40, name: str = "") -> dict[int, np.ndarray]:
    rng = np.random.default_rng([*name.encode()])
    return {step: mean + noise * rng.normal(size=n) for step, mean in zip(STEPS, means, strict=True)}


def formation(curves=CURVES, faithfulness=FAITHFULNESS, *, noise: float = 0.1) -> dict[int, pd.DataFrame]:
    drawn = {key: prompts(means, noise=noise, name=" ".join(key)) for key, means in curves.items()}
    cells = {}
    for step, found in zip(STEPS, faithfulness, strict=True):
        parts = [
            pd.DataFrame({"quantity": key[0], "component": key[1], "prompt": np.arange(40), "value": values[step]})
            for key, values in drawn.items()
        ]
        value, low, high = found or (np.nan,) * 3
        circuit = {"quantity": "faithfulness", "component": "circuit", "prompt": 0, "value": value}
        parts.append(pd.DataFrame([{**circuit, "ci_low": low, "ci_high": high}]))
        cells[step] = pd.concat(parts, ignore_index=True)
    return cells


def accuracy(rates) -> dict[int, np.ndarray]:
    return {step: (np.arange(50) < 50 * rate).astype(float) for step, rate in zip(STEPS, rates, strict=True)}


LEARNED = accuracy([0, 0, 0, 0.9, 1])


def onsets(cells=None) -> Any:
    rows = component_onsets(cells or formation(), ROLES, "induction", "14k")
    return pd.DataFrame(rows).set_index(["quantity", "component"])


def test_every_quantity_and_component_of_the_cells_has_an_onset() -> None:
    found = onsets()

    assert found.index.tolist() == [*CURVES, ("faithfulness", "circuit")]
    assert found["first_with"].to_dict() == {
        ("induction", "a1.h0"): "500",
        ("effect", "a1.h0"): "500",
        ("effect", "m0"): "100",
        ("effect", "m1"): "1000",
        ("edge effect", "a0.h1 → a1.h0.k"): "500",
        ("edge effect", "m0 → a1.h0.v"): "",
        ("faithfulness", "circuit"): "500",
    }
    assert (found["axis"] == "step").all() and (found["at"] == "14k").all()


def test_a_role_counts_from_its_baseline_and_an_effect_from_zero() -> None:
    threshold = onsets()["threshold"]

    assert threshold["induction", "a1.h0"] == pytest.approx(0.6, abs=0.03)
    assert threshold["effect", "a1.h0"] == pytest.approx(2, abs=0.03)
    assert threshold["effect", "m1"] == pytest.approx(-1, abs=0.03)
    assert threshold["faithfulness", "circuit"] == pytest.approx(0.4)


def test_an_effect_has_the_onset_that_find_onset_gives() -> None:
    values = prompts(CURVES["effect", "a1.h0"], noise=0.1, name="effect a1.h0")
    alone = find_onset({step: [of] for step, of in values.items()}, Criterion(0.0, float(values[1000].mean())))

    row = onsets().loc[("effect", "a1.h0")]
    assert row[["last_without", "first_with", "ci_low", "ci_high"]].tolist() == ["250", "500", "500", "500"]
    assert (alone.last_without, alone.first_with, alone.ci_low, alone.ci_high) == (250, 500, 500, 500)
    assert row["verdict"] == OnsetVerdict.LEARNED


def test_an_effect_that_ends_within_noise_of_zero_is_undefined() -> None:
    found = onsets().loc[("edge effect", "m0 → a1.h0.v")]

    assert found["verdict"] == WITHIN_NOISE == "undefined: its last value is within noise"
    assert np.isnan(found["threshold"]) and found["ci_low"] == found["last_without"] == ""


def test_where_the_faithfulness_is_undefined_the_circuit_is_absent() -> None:
    circuit = onsets().loc[("faithfulness", "circuit")]

    # At 250 the value is below half of the last one, and its interval on both sides.
    assert circuit[["last_without", "first_with", "ci_low", "ci_high"]].tolist() == ["250", "500", "250", "500"]
    assert circuit["verdict"] == OnsetVerdict.LEARNED
    unknown = onsets(formation(faithfulness=[*FAITHFULNESS[:4], (0.1, -0.1, 0.3)]))
    assert unknown.loc[("faithfulness", "circuit"), "verdict"] == WITHIN_NOISE
    never = onsets(formation(faithfulness=[None] * 5))
    assert never.loc[("faithfulness", "circuit"), "verdict"] == WITHIN_NOISE


def test_steps_without_values_are_left_out() -> None:
    cells = formation()
    cells[250].loc[cells[250]["component"] == "a1.h0", "value"] = np.nan
    cells[500] = cells[500][cells[500]["quantity"] != "edge effect"]
    found = onsets(cells)

    assert found.loc[("effect", "a1.h0"), ["last_without", "first_with"]].tolist() == ["100", "500"]
    edge = found.loc[("edge effect", "a0.h1 → a1.h0.k")]
    assert edge[["last_without", "first_with"]].tolist() == ["250", "1000"]


def test_each_part_leads_the_ability_or_lags_behind_it_or_is_unresolved() -> None:
    lags: Any = lag_table(formation(), ROLES, LEARNED, INDUCTION).set_index(["quantity", "component"])

    assert lags["verdict"].to_dict() == {
        ("induction", "a1.h0"): LagVerdict.UNRESOLVED,
        ("effect", "a1.h0"): LagVerdict.UNRESOLVED,
        ("effect", "m0"): LagVerdict.LEADS,
        ("effect", "m1"): LagVerdict.LAGS,
        ("edge effect", "a0.h1 → a1.h0.k"): LagVerdict.UNRESOLVED,
        ("edge effect", "m0 → a1.h0.v"): LagVerdict.UNDEFINED,
        ("faithfulness", "circuit"): LagVerdict.UNRESOLVED,
    }
    assert lags.loc[("effect", "m0"), ["steps_low", "steps_high"]].tolist() == [0 - 500, 100 - 250]
    assert lags.loc[("effect", "m1"), ["steps_low", "steps_high"]].tolist() == [500 - 500, 1000 - 250]
    assert lags.loc[("effect", "a1.h0"), "answer"] == "cannot be told: both fall between step 250 and step 500"


def test_the_lag_of_the_faithfulness_comes_from_its_own_intervals() -> None:
    def lag(faithfulness) -> Any:
        lags = lag_table(formation(faithfulness=faithfulness), ROLES, LEARNED, INDUCTION)
        return lags.set_index("quantity").loc["faithfulness"]

    between = lag(FAITHFULNESS)
    assert between[["steps_low", "steps_high"]].tolist() == [100 - 500, 500 - 250]
    assert between["log_high"] == pytest.approx(np.log(501 / 251)) and np.isnan(between["crossing"])
    assert between["verdict"] == LagVerdict.UNRESOLVED
    assert between["answer"] == "cannot be told: both intervals fall between step 100 and step 500"
    early = lag([None, (0.8, 0.7, 0.9), *FAITHFULNESS[3:], (0.8, 0.7, 0.9)])
    assert (early["verdict"], early["answer"]) == (LagVerdict.LEADS, "faithfulness circuit before accuracy model")
    assert early[["steps_low", "steps_high"]].tolist() == [0 - 500, 100 - 250]
    late = lag([None] * 4 + [(0.8, 0.7, 0.9)])
    assert (late["verdict"], late["answer"]) == (LagVerdict.LAGS, "accuracy model before faithfulness circuit")
    assert lag([None] * 5)["verdict"] == LagVerdict.UNDEFINED


def test_an_ability_that_never_comes_is_led_by_what_does() -> None:
    lags: Any = lag_table(formation(), ROLES, accuracy([0] * 5), INDUCTION).set_index(["quantity", "component"])

    assert (
        lags.loc[("effect", "a1.h0"), "verdict"] == lags.loc[("faithfulness", "circuit"), "verdict"] == LagVerdict.LEADS
    )
    assert lags.loc[("faithfulness", "circuit"), "steps_low"] == -np.inf


def test_the_leading_parts_of_many_are_put_in_order_with_the_ability() -> None:
    many = {("edge effect", f"m{i} → logits"): [0, 0, 0, 1.0 + i, 1.0 + i] for i in range(40)}
    order = order_table(formation(CURVES | many), ROLES, LEARNED, INDUCTION)
    names = {*zip(order["quantity_a"], order["component_a"], strict=True)}
    names |= {*zip(order["quantity_b"], order["component_b"], strict=True)}

    leading = [("edge effect", f"m{i} → logits") for i in (39, 38, 37)]
    effects = [("effect", node) for node in ("a1.h0", "m0", "m1")]
    assert names == {("accuracy", "model"), ("induction", "a1.h0"), *effects, *leading}
    assert len(order) == len(names) * (len(names) - 1) / 2 and len(leading) == LEADING
    assert order.iloc[0][["quantity_a", "component_a", "quantity_b"]].tolist() == ["accuracy", "model", "induction"]


def grid(runs: dict[tuple[str, int], dict[int, float]]) -> dict:
    return {
        (size, step, seed, "induction"): (np.arange(50) < 50 * rate).astype(float)
        for (size, seed), rates in runs.items()
        for step, rate in rates.items()
    }


def test_over_sizes_each_run_counts_at_its_own_last_step_and_sizes_may_be_missing() -> None:
    measured = grid({
        ("small", 0): {0: 0.0, 500: 0.1},
        ("middle", 0): {0: 0.0, 500: 0.0},
        ("middle", 1): {0: 0.0, 100: 1.0},
        ("middle", 2): {0: 0.0, 250: 1.0},
        ("large", 0): {0: 0.0, 1000: 1.0},
    })  # fmt: skip
    sizes = ["tiny", "small", "middle", "large"]
    rows = pd.DataFrame(ability_onsets(measured, INDUCTION, sizes))
    over_sizes = rows[rows["axis"] == "size"].iloc[0]

    # Two of three runs of the middle size have it: with the one that was trained longest alone there would be none.
    assert (over_sizes["last_without"], over_sizes["first_with"]) == ("small", "middle")
    assert rows[rows["axis"] == "step"]["at"].tolist() == ["small", "middle", "large"]
    frame = pd.concat(
        pd.DataFrame({"pair": np.arange(50), "value": values}).assign(size=size, step=step, seed=seed)
        for (size, step, seed, _), values in measured.items()
    ).assign(ability="induction", metric="accuracy")
    frame["n_parameters"] = frame["size"].map(sizes.index)
    counted = success_by_size(frame, INDUCTION).set_index("size")
    assert tuple(counted.loc["middle", ["n_seeds", "n_success"]]) == (3, 2)


def test_an_ability_that_was_measured_at_no_size_has_no_onset() -> None:
    with pytest.raises(InputError, match="ability 'induction' was not measured at any of tiny, huge; measure"):
        ability_onsets(grid({("small", 0): {0: 0.0}}), INDUCTION, ["tiny", "huge"])

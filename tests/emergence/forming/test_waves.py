"""Progress measures of modular addition: exact on logits made of known waves, empty on noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.forming.wave_onsets import ProgressVerdict, progress_onsets
from interp_emerge.emergence.forming.waves import (
    UNITS,
    addition_logits,
    addition_losses,
    excluded_logits,
    frequency_shares,
    gini,
    key_frequencies,
    measure_progress,
    other_frequencies,
    progress_measures,
    restricted_logits,
)

P = 23
NUMBER = np.arange(P)
TOTAL = (NUMBER[:, None] + NUMBER) % P
SHAPE: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
CONFIG = GPTNeoXConfig(vocab_size=P + 2, max_position_embeddings=8, **SHAPE)
HALF = np.add.outer(NUMBER, NUMBER) % 2 == 0


def waves(frequencies: dict[int, float], p: int = P) -> np.ndarray:
    """Logits Σ α cos(w (a + b − c)), shape [a, b, c]."""
    number = np.arange(p)
    difference = number[:, None, None] + number[None, :, None] - number
    return sum((a * np.cos(2 * np.pi * k / p * difference) for k, a in frequencies.items()), np.zeros((p, p, p)))


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(P, P, P))


@pytest.mark.parametrize("chosen", [{3: 4.0}, {2: 5.0, 7: 5.0, 11: 5.0}, {1: 9.0, 4: 5.0, 5: 6.0, 9: 7.0}])
def test_the_frequencies_that_logits_are_made_of_are_found(chosen: dict[int, float]) -> None:
    assert key_frequencies(waves(chosen)) == tuple(chosen)
    assert key_frequencies(waves(chosen) + noise()) == tuple(chosen)


def test_the_shares_are_those_of_the_squared_amplitudes() -> None:
    shares = frequency_shares(waves({2: 1.0, 7: 2.0}))

    assert shares[[1, 6]] == pytest.approx([0.2, 0.8])
    assert np.delete(shares, [1, 6]) == pytest.approx(0, abs=1e-12)


def test_what_every_output_or_every_pair_has_in_common_changes_no_share() -> None:
    logits = waves({2: 1.0, 7: 2.0}) + noise()
    shifted = logits + noise(1)[..., :1] + noise(2)[0, 0]

    assert frequency_shares(shifted) == pytest.approx(frequency_shares(logits))


def test_pure_waves_lose_nothing_by_restriction_and_everything_by_exclusion() -> None:
    logits = waves({2: 5.0, 7: 5.0, 11: 5.0})
    full = addition_losses(logits)

    assert full.max() < 0.1  # the model does add
    assert addition_losses(restricted_logits(logits, (2, 7, 11))) == pytest.approx(full)
    assert addition_losses(excluded_logits(logits, (2, 7, 11))) == pytest.approx(np.log(P))


def test_the_constant_is_kept_by_restriction_and_by_exclusion() -> None:
    constant = noise()[0, 0]
    logits = waves({3: 4.0}) + constant

    assert addition_losses(restricted_logits(logits, (3,))) == pytest.approx(addition_losses(logits))
    alone = addition_losses(np.broadcast_to(constant, logits.shape))
    assert addition_losses(excluded_logits(logits, (3,))) == pytest.approx(alone)


def test_the_two_parts_and_the_constant_add_up() -> None:
    logits = noise() - noise().mean(-1, keepdims=True)
    parts = restricted_logits(logits, (2, 5)) + excluded_logits(logits, (2, 5))

    assert parts == pytest.approx(logits + logits.mean((0, 1)))


def test_other_frequencies_neither_restore_nor_remove_what_the_key_ones_do() -> None:
    logits = waves({2: 5.0, 7: 5.0})
    sets = other_frequencies((2, 7), P, 10)

    assert len(sets) == 10
    for others in sets:
        assert len(set(others) - {2, 7}) == 2
        assert addition_losses(restricted_logits(logits, others)) == pytest.approx(np.log(P))
        assert addition_losses(excluded_logits(logits, others)) == pytest.approx(addition_losses(logits))
    assert other_frequencies(range(1, 8), P, 10) == []  # too few are left


def test_random_logits_rarely_have_a_key_frequency() -> None:
    found = [bool(key_frequencies(noise(seed), n_shuffles=40)) for seed in range(50)]

    assert sum(found) <= 8  # 2.5 of 50 are expected, more than 8 has a chance of 0.1%
    assert key_frequencies(noise(0)) == ()


def test_a_memorised_table_has_all_waves_about_equally() -> None:
    rng = np.random.default_rng(0)
    table = np.where(rng.random((P, P, 1)) < 0.4, 10.0 * (TOTAL[..., None] == NUMBER), noise())
    shares = frequency_shares(table)

    assert shares.min() > 5 * 2 / P**2  # what shuffled pairs give on average
    assert gini(shares) < 0.2 < 0.8 < gini(frequency_shares(waves({3: 4.0}) + noise()))


def test_waves_of_one_input_alone_are_no_key_frequency() -> None:
    logits = np.cos(2 * np.pi * 3 / P * (NUMBER[:, None, None] - NUMBER)) + np.zeros((P, P, P))

    assert key_frequencies(logits) == ()


@pytest.mark.parametrize(("values", "expected"), [([1, 1, 1, 1], 0), ([0, 0, 0, 2], 0.75), ([1, 3], 0.25)])
def test_the_gini_coefficient_of_known_values(values: list[float], expected: float) -> None:
    assert gini(np.array(values, dtype=float)) == pytest.approx(expected)


@pytest.fixture(scope="module")
def model() -> ie.HookedModel:
    torch.manual_seed(0)
    return ie.hook(GPTNeoXForCausalLM(CONFIG))


def test_logits_are_those_after_the_equals_sign(model: ie.HookedModel) -> None:
    logits = addition_logits(model, modulus=P)
    with torch.no_grad():
        expected = model.hf(torch.tensor([[4, 7, P]])).logits[0, -1, :P].double().numpy()

    assert logits.shape == (P, P, P)
    assert logits[4, 7] == pytest.approx(expected, abs=1e-5)


def test_measures_of_a_model_are_those_of_its_logits(model: ie.HookedModel) -> None:
    measured = progress_measures(model, modulus=P, frequencies=(2, 5), train_pairs=HALF)
    values = measured.set_index("measure")["value"]
    logits = addition_logits(model, modulus=P)

    assert dict(zip(measured["measure"], measured["unit"], strict=True)) == UNITS
    assert values["train_loss"] == pytest.approx(addition_losses(logits)[HALF].mean())
    assert values["test_loss"] == pytest.approx(addition_losses(logits)[~HALF].mean())
    assert values["restricted_loss"] == pytest.approx(addition_losses(restricted_logits(logits, (2, 5))).mean())
    assert values["excluded_loss"] == pytest.approx(addition_losses(excluded_logits(logits, (2, 5)))[HALF].mean())
    assert values["key_share"] == pytest.approx(frequency_shares(logits)[[1, 4]].sum())
    squares = sum(float(parameter.detach().square().sum()) for parameter in model.hf.parameters())
    assert values["weight_norm"] == pytest.approx(squares**0.5, rel=1e-5)


def test_without_the_training_pairs_losses_on_either_part_are_undefined(model: ie.HookedModel) -> None:
    values = progress_measures(model, modulus=P).set_index("measure")["value"]

    undefined = {"train_loss", "test_loss", "restricted_test_loss", "excluded_loss"}
    undefined |= {"restricted_random", "excluded_random"}
    assert set(values.index[values.isna()]) == undefined


def test_the_table_follows_every_run_at_the_frequencies_of_its_last_checkpoint(tmp_path: Path) -> None:
    for seed in (0, 1):
        for step in (0, 5, 9)[: 3 - seed]:  # the second run has a hole
            torch.manual_seed(10 * step + seed)
            GPTNeoXForCausalLM(CONFIG).save_pretrained(tmp_path / f"x/seed{seed}/step{step}")
    family = ie.load_family(tmp_path)
    measured = measure_progress(family, modulus=P, train_pairs=HALF, n_shuffles=20)

    assert measured.groupby(["seed", "step"]).size().to_dict() == {
        (seed, step): len(UNITS) for seed, step in [(0, 0), (0, 5), (0, 9), (1, 0), (1, 5)]
    }
    last = key_frequencies(addition_logits(family.load("x", 9), modulus=P), n_shuffles=20)
    first = progress_measures(family.load("x", 0), modulus=P, frequencies=last, train_pairs=HALF, n_shuffles=20)
    rows = measured[(measured["seed"] == 0) & (measured["step"] == 0)]
    assert rows["value"].tolist() == pytest.approx(first["value"].tolist(), nan_ok=True)


def table(**curves: list[float]) -> pd.DataFrame:
    rows = [
        {"size": "x", "seed": 0, "step": 100 * i, "measure": name, "value": value, "unit": UNITS[name]}
        for name, values in curves.items()
        for i, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_onsets_are_half_way_in_the_logarithm_down_and_in_the_value_up() -> None:
    onsets = progress_onsets(
        table(
            train_loss=[4, 0.1, 0.01, 0.01, 0.01],
            test_loss=[4, 9, 8, 0.5, 0.01],
            excluded_loss=[4, 0.5, 2, 4, 5],
            n_key=[9, 9, 9, 8, 8],
            restricted_loss=[4, 4, float("nan"), 1, 1],
        )
    ).set_index("measure")

    assert onsets["verdict"].to_dict() == {
        "train_loss": ProgressVerdict.FALLS,
        "test_loss": ProgressVerdict.FALLS,
        "excluded_loss": ProgressVerdict.RISES,
        "n_key": ProgressVerdict.NOT_REACHED,
        "restricted_loss": ProgressVerdict.UNDEFINED,
    }
    assert onsets["half_way"]["train_loss"] == pytest.approx(0.2)
    assert onsets["half_way"]["test_loss"] == pytest.approx(0.2)
    assert onsets["half_way"]["excluded_loss"] == pytest.approx(2.75)
    # The earliest first; what is never reached is absent up to the last step.
    assert onsets.index[:3].tolist() == ["train_loss", "excluded_loss", "test_loss"]
    assert onsets["last_without"].iloc[:3].tolist() == [0, 200, 300]
    assert onsets["first_with"].iloc[:3].tolist() == [100, 300, 400]
    assert onsets["last_without"]["n_key"] == 400
    assert onsets["first_with"].iloc[3:].isna().all()


def test_a_loss_that_falls_to_zero_has_a_half_way_on_the_linear_scale_alone() -> None:
    losses = table(train_loss=[4, 1, 0.5, 0], test_loss=[4, 4, 1, 0.01], n_key=[0, 0, 0, 0], sum_share=[0, 0, 0, 0])
    linear: Any = progress_onsets(losses, scale="linear").set_index("measure")
    log: Any = progress_onsets(losses, scale="log").set_index("measure")

    assert log.loc["train_loss", "verdict"] == ProgressVerdict.UNDEFINED
    assert log.loc["train_loss", ["half_way", "last_without", "first_with"]].isna().all()
    assert linear.loc["train_loss", ["last_without", "first_with", "verdict"]].tolist() == [
        0,
        100,
        ProgressVerdict.FALLS,
    ]
    assert log.loc["test_loss", ["last_without", "first_with"]].tolist() == [200, 300]
    for onsets in (linear, log):
        assert (onsets.loc[["n_key", "sum_share"], "verdict"] == ProgressVerdict.NOT_REACHED).all()
        reached = onsets.dropna(subset="first_with")
        assert (reached["last_without"] < reached["first_with"]).all()


def test_the_order_may_depend_on_the_scale() -> None:
    losses = table(test_loss=[4, 4, 1e-6, 1e-6, 1e-6], restricted_loss=[4, 1, 1, 1, 1e-6])
    orders = {scale: progress_onsets(losses, scale=scale)["measure"].tolist() for scale in ("linear", "log")}

    assert orders == {"linear": ["restricted_loss", "test_loss"], "log": ["test_loss", "restricted_loss"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modulus": 22}, "addition modulo 22 is not supported; give an odd modulus"),
        ({"modulus": 101}, "token ids go from 0 to 101"),
        ({"modulus": P, "frequencies": (12,)}, "frequency 12 does not exist for modulus 23; give 1 to 11"),
        ({"modulus": P, "train_pairs": np.ones((3, 3), dtype=bool)}, r"shape \[3, 3\]; give bool of shape \[23, 23\]"),
        ({"modulus": P, "train_pairs": np.ones((P, P), dtype=bool)}, "leaves no training pairs or no test pairs"),
        ({"modulus": P, "n_shuffles": 5}, "5 shuffles are too few for a 95th percentile; ask for at least 20"),
    ],
)
def test_what_cannot_be_measured_is_refused(model: ie.HookedModel, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        progress_measures(model, **options)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.ones((P, P, P)), "gives every pair the same logits, so there are no waves"),
        (np.full((P, P, P), np.nan), "not finite"),
        (np.ones((P, P)), r"shape \[p, p, p\] for inputs a, b and output c, not \(23, 23\)"),
    ],
)
def test_logits_without_waves_are_refused(logits: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        key_frequencies(logits)

"""Measuring an ability: the numbers are those of the model's own logits."""

import numpy as np
import torch

import interp_emerge as ie
from interp_emerge.abilities.measuring import MEASURED, held_out_loss, measure, summarise


def test_accuracy_and_log_probability_are_read_off_the_last_logits() -> None:
    model = ie.load_family("miniature").load("7k")
    ability = ie.load_ability("indirect_object")
    measured = measure(model, [ability], n=16, seed=3)
    pairs = ability.sample(model, 16, 3)
    with torch.no_grad():
        log_probs = model.hf(pairs.clean).logits[:, -1].log_softmax(-1)

    by_metric = {metric: measured[measured["metric"] == metric]["value"].to_numpy() for metric in MEASURED}
    rows = torch.arange(16)
    assert np.allclose(by_metric["accuracy"], log_probs.argmax(-1) == pairs.answer)
    assert np.allclose(by_metric["log_prob"], log_probs[rows, pairs.answer], atol=1e-5)
    difference = log_probs[rows, pairs.answer] - log_probs[rows, pairs.foil]
    assert np.allclose(by_metric["logit_diff"], difference, atol=1e-4)


def test_the_summary_is_the_mean_with_an_interval_around_it() -> None:
    model = ie.load_family("miniature").load("3k")
    measured = measure(model, [ie.load_ability("markov"), ie.load_ability("induction")], n=32)
    summary = summarise(measured)

    assert len(summary) == 2 * len(MEASURED)
    assert (summary["n_pairs"] == 32).all()
    assert (summary["ci_low"] <= summary["value"]).all() and (summary["value"] <= summary["ci_high"]).all()
    means = measured.groupby(["ability", "metric"], sort=False)["value"].mean().to_numpy()
    assert np.allclose(summary["value"], means)


def test_loss_falls_with_training_and_starts_at_the_uniform_guess() -> None:
    family = ie.load_family("miniature")
    text = family.held_out_text()
    untrained, trained = (held_out_loss(family.load("25k", step), text) for step in (0, "last"))

    assert abs(untrained - np.log(64)) < 0.1
    assert trained < untrained - 1.5


def test_loss_is_undefined_where_the_text_cannot_be_written() -> None:
    model = ie.load_family("miniature").load("3k")

    assert np.isnan(held_out_loss(model, ["words of another language"]))
    assert np.isnan(held_out_loss(ie.hook(model.hf), ["Mary"]))

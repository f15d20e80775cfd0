"""What is known and used, and when: rules on made-up numbers; Python, the command and a study give the same numbers."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import interp_emerge as ie
from interp_emerge.cli import app
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.forming import Knowing, knowing_at, knowing_onsets
from interp_emerge.emergence.forming.knowing import ITEMS, REFUSED, best_site, by_group, shares_of_gap, spread
from interp_emerge.emergence.forming.known_when import NOT_DECODED, NOTHING_DIFFERS, lead_of
from interp_emerge.emergence.forming.order import LagVerdict
from interp_emerge.emergence.scale.onset import Onset, OnsetVerdict
from interp_emerge.study.stages.abilities import ABILITIES
from interp_emerge.study.stages.base import Results
from interp_emerge.study.stages.probing import PROBING, why_too_large

N = 60


def test_the_best_of_many_sites_without_knowledge_is_at_chance(rng: np.random.Generator):
    values, half = rng.integers(0, 2, (40, 400)).astype(float), np.arange(400) % 2 == 0
    assert values.mean(1).max() > 0.55
    assert abs(best_site(values, half).mean() - 0.5) < 0.08
    values[7] = 1
    assert best_site(values, half).mean() == 1


def test_values_of_groups_have_the_mean_of_the_pairs():
    values, groups = np.array([1.0, 1, 0, 1, 0, 0]), np.array([0, 0, 0, 1, 1, 2])
    assert by_group(values, groups).tolist() == [1.0, 0.5, 0.0]
    assert by_group(values, groups).mean() == values.mean()


def test_the_share_of_a_gap_is_a_ratio_of_means_and_zero_where_there_may_be_no_gap(rng: np.random.Generator):
    gap = rng.normal(4, 1, 50)
    effects = 0.3 * gap + rng.normal(0, 0.1, 50)
    found = shares_of_gap(effects, gap)
    assert found.mean() == pytest.approx(effects.mean() / gap.mean())
    assert found.std() < (effects / gap.mean()).std()
    assert not shares_of_gap(effects, gap - gap.mean()).any()


def test_layers_are_spread_over_the_depth_and_the_last_is_among_them():
    assert spread(5, 8) == [0, 1, 2, 3, 4]
    assert spread(30, 8)[-1] == 29 and len(spread(30, 8)) == 8
    assert np.ptp(np.diff(spread(30, 8))) <= 1
    with pytest.raises(InputError, match="0 layers: give at least 1"):
        spread(5, 0)


def onset(low: int | None, high: int | None) -> Onset[int]:
    return Onset(None, None, low, high, OnsetVerdict.LEARNED)


@pytest.mark.parametrize(
    ("first", "second", "low", "high", "verdict"),
    [
        (onset(100, 100), onset(500, 1000), 0, 1000, LagVerdict.LEADS),
        (onset(500, 1000), onset(100, 100), -1000, 0, LagVerdict.LAGS),
        (onset(100, 500), onset(100, 100), -500, 100, LagVerdict.UNRESOLVED),
        (onset(0, 0), onset(None, None), 1000, np.inf, LagVerdict.LEADS),
        (onset(0, 0), onset(0, 0), -np.inf, np.inf, LagVerdict.UNRESOLVED),
    ],
)
def test_leads_are_bounded_by_the_intervals_of_both(first, second, low, high, verdict):
    found = lead_of(first, second, [0, 100, 500, 1000], float, names=("known", "used"))
    assert (found.low, found.high, found.verdict) == (low, high, verdict)


def test_a_lead_over_what_never_comes_is_undefined_if_the_first_does_not_come_either():
    never = onset(None, None)
    assert lead_of(never, never, [0, 1], float, names=("known", "used")).verdict == LagVerdict.UNDEFINED
    assert lead_of(None, onset(0, 0), [0, 1], float, names=("known", "used")).verdict == LagVerdict.UNDEFINED


def made_up(known: float, used: float, *, differs: float = 0.9) -> Knowing:
    """A model that knows a fraction of 100 prompts and whose exchange moves a share of the gap."""
    right = (np.arange(100) < 100 * known).astype(float)
    shares = used + 0.01 * np.sin(np.arange(100.0)) if used else np.zeros(100)
    values = {"known": right, "embedding": np.zeros(100), "used": shares}
    about = {"variable": "name", "position": "last"}
    items = pd.concat(pd.DataFrame({"value": of}).assign(question=one, **about) for one, of in values.items())
    probes = pd.DataFrame([about | {"majority": 0.1, "untrained": 0.12}])
    uses = pd.DataFrame([about | {"effect": used, "differs": differs, "differs_low": differs - 0.1}] * bool(used))
    refused = pd.DataFrame([["known", "other", "last", "it has one value"]], columns=pd.Index(REFUSED))
    columns = {"uses": uses.reindex(columns=[*about, "effect", "differs", "differs_low"])}
    return Knowing(probes=probes, items=items[[*ITEMS]], refused=refused, **columns)


def rows_of(found: dict[tuple[str, int, int], Knowing], variable: str = "name") -> dict[str, dict]:
    ability = ie.load_ability("induction")
    accuracies = {(*at, "induction"): np.full(50, float(at[1] >= 1000)) for at in found}
    table = knowing_onsets(found, accuracies, ability, {"1k": 1000})
    kept = table[(table["axis"] == "step") & (table["variable"] == variable)]
    return {row["question"]: row for row in kept.to_dict("records")}


def test_onsets_and_leads_over_steps_are_those_of_the_measured_curves():
    curve = {0: (0.1, 0.0), 100: (0.95, 0.0), 500: (0.95, 0.02), 1000: (1.0, 0.3), 2000: (1.0, 0.3)}
    rows = rows_of({("1k", step, 0): made_up(*of) for step, of in curve.items()})
    assert [rows["known"][name] for name in ("last_without", "first_with", "ci_low", "ci_high")] == ["0"] + ["100"] * 3
    assert rows["known"]["threshold"] == pytest.approx(0.55) and rows["known"]["untrained"] == 0.12
    assert rows["used"]["first_with"] == "1000" and rows["used"]["threshold"] == pytest.approx(0.15, abs=0.01)
    assert rows["embedding"]["verdict"] == OnsetVerdict.NOT_REACHED
    for question in ("used", "ability"):
        assert (rows[question]["lead"], rows[question]["lead_low"]) == (LagVerdict.LEADS, 400)


@pytest.mark.parametrize(
    ("last", "why"), [(made_up(1, 0.3, differs=0.05), NOTHING_DIFFERS), (made_up(1, 0), NOT_DECODED)]
)
def test_an_exchange_of_nothing_says_nothing_of_use(last: Knowing, why: str):
    used = rows_of({("1k", 0, 0): made_up(0.1, 0), ("1k", 1000, 0): last})["used"]
    assert (used["verdict"], used["reason"], used["lead"]) == ("undefined", why, "undefined")


def test_a_variable_that_was_refused_has_its_reason():
    rows = rows_of({("1k", step, 0): made_up(1, 0) for step in (0, 1000)}, "other")
    assert (rows["known"]["verdict"], rows["known"]["reason"]) == ("undefined", "it has one value")


@pytest.fixture(scope="module")
def study_rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """The tables of the stage for one model, computed and read back."""
    out = tmp_path_factory.mktemp("probing") / "out"
    chosen = {"sizes": ("7k",), "steps": "last", "seeds": (0,), "ability": "indirect_object", "beside": ()}
    study = ie.Study(out=str(out), n_measured=20, n_probed=N, **chosen)
    results = Results(study._work())
    (at,) = study.grid.models
    results.add(ABILITIES, at, ABILITIES.cell(results.work, at))
    results.add(PROBING, at, PROBING.cell(results.work, at))
    again = Results(study._work(read_only=True))
    again.add(ABILITIES, at, ABILITIES.cell(again.work, at))
    again.add(PROBING, at, PROBING.cell(again.work, at))
    tables = zip(PROBING.tables, PROBING.fill(results), PROBING.fill(again), strict=True)
    found = {}
    for table, one, other in tables:
        pd.testing.assert_frame_equal(one, other)
        found[table.name] = table.shaped(one)
    return found


def test_python_the_command_and_a_study_give_the_same_numbers(study_rows: dict[str, pd.DataFrame], tmp_path: Path):
    model = ie.load_family("miniature").load("7k")
    pairs = ie.load_ability("indirect_object").sample(model, N)
    given = {"variable": "receiver", "positions": ["acting name", "last"]}
    known = ie.probe(model, pairs, method="mass_mean", **given).to_frame()
    used = ie.probing.use(model, pairs, placebos=4, **given).to_frame()
    words = ["probe", "miniature", "7k", "indirect_object", "--variable", "receiver", "--positions", "acting name,last"]
    told = CliRunner().invoke(app, [*words, "--method", "mass_mean", "--n", str(N), "--json"])
    command = (
        pd.read_json(io.StringIO(told.stdout), precise_float=True) if told.exit_code == 0 else pytest.fail(told.output)
    )
    rows = study_rows["probe_scores"]
    own = rows[rows["variable"] == "receiver"].reset_index(drop=True)
    for column in ("layer", "accuracy", "untrained", "embedding", "gain_low", "fragility", "depth", "p_value"):
        np.testing.assert_allclose(own[column].astype(float), known[column].astype(float), atol=1e-6)
        np.testing.assert_allclose(own[column].astype(float), command[column].astype(float), atol=1e-6)
    uses = study_rows["use_scores"]
    both = uses[uses["variable"] == "receiver"].merge(used, on=["variable", "position", "layer"], suffixes=("", "_own"))
    assert len(both) and both["effect"].notna().all()
    np.testing.assert_allclose(both["effect"], both["effect_own"], atol=1e-4)


def test_a_trained_model_knows_the_receiver_at_the_last_position_and_uses_it_there(study_rows: dict[str, pd.DataFrame]):
    uses = study_rows["use_scores"]
    last = uses[(uses["variable"] == "receiver") & (uses["position"] == "last")]
    assert (last["beyond_placebo_low"] > 0).any() and (last["differs_low"] > 0.3).any()
    onsets = study_rows["probe_onsets"]
    assert {*onsets["question"]} == {"known", "embedding", "used", "ability"}
    known = onsets[(onsets["variable"] == "receiver") & (onsets["position"] == "last")].set_index("question")
    assert known["verdict"].to_dict()["known"] == OnsetVerdict.FROM_THE_START  # of sizes, of which there is one


def test_variables_that_cannot_be_probed_are_refused_one_by_one():
    model = ie.load_family("miniature").load("7k")
    pairs = ie.load_ability("induction").sample(model, 40)
    found = knowing_at(model, pairs, variables=["repeated token"], positions=["last"])
    assert found.probes.empty and found.uses.empty and found.items.empty
    (refused,) = found.refused.to_dict("records")
    assert "classes in 40 pairs" in refused["reason"] and "\n" not in refused["reason"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n_probed": 5}, "n_probed = 5 is not valid .*give 0, or at least 20"),
        ({"probe": "leace"}, r"probe = 'leace': give one that decodes \(k_sparse"),
        ({"intervention": "ridge"}, "intervention = 'ridge': give one that changes activations"),
    ],
)
def test_settings_that_cannot_be_probed_with_are_refused(fields: dict, words: str, tmp_path: Path):
    with pytest.raises(InputError, match=words):
        ie.Study(out=str(tmp_path), **fields)


def test_large_models_are_left_out_unless_a_number_is_given(tmp_path: Path):
    study = ie.Study(out=str(tmp_path / "out"), sizes=("3k",), steps="last")
    assert why_too_large(study.settings, 134_000_000).startswith("models of 10,000,000 parameters or more")
    asked = ie.Study(out=str(tmp_path / "out"), sizes=("3k",), steps="last", n_probed=64)
    assert not why_too_large(asked.settings, 134_000_000) and not why_too_large(study.settings, 3000)
    off = ie.Study(out=str(tmp_path / "out"), sizes=("3k",), steps="last", n_probed=0)
    assert PROBING.why_not(off._work(), off.grid.models[0]) == "no pairs are probed"

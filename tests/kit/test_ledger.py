"""The ledger: every run decides, a claim is entered once and with words, and the page gets the same record as the reader."""

import json
import math
import tomllib
from importlib import resources

import pytest
import torch

from regimes_course.kit.ledger import BOUNDS, MIME, VERDICTS, WORDS, Claim, Ledger

TEXT = {"statement": "It falls.", "paper": "Arbel et al. 2023", "setting": "n = 4"}
FILES = sorted(p / "claims.toml" for p in resources.files("regimes_course").iterdir() if (p / "claims.toml").is_file())


def ledger(**bounds):
    """A ledger of one claim "a" with these bounds or words."""
    return Ledger("07", {"a": {**TEXT, **bounds}})


NEAR = {
    "inside": ({"within": 2}, [169, 171, 173], 171, "reproduced"),
    "one run outside": ({"within": 2}, [171, 171, 171, 171, 174], 171, "contradicts"),
    "below counts as above": ({"within": 2}, [168, 171], 171, "contradicts"),
    "percent": ({"within_percent": 1}, [1.991, 2.019], 2.0, "reproduced"),
    "percent, one run outside": ({"within_percent": 1}, [2.0, 2.0, 2.021], 2.0, "contradicts"),
    "percent of a negative prediction": ({"within_percent": 10}, [-1.95, -2.05], -2.0, "reproduced"),
    "one number": ({"within": 0.1}, 1.05, 1.0, "reproduced"),
    "a prediction of zero": ({"within_percent": 50}, [1e-9], 0.0, "contradicts"),
}
INSIDE = {
    "low": ({"low": 0.3}, [0.3, 0.9], {}, "reproduced"),
    "low, one run outside": ({"low": 0.3}, [0.9, 0.29, 0.9], {}, "contradicts"),
    "high": ({"high": 1e-8}, [1e-12, 1e-8], {}, "reproduced"),
    "high, one run outside": ({"high": 1e-8}, [1e-12, 2e-8], {}, "contradicts"),
    "both": ({"low": 1, "high": 2}, [1, 1.5, 2], {}, "reproduced"),
    "both, below": ({"low": 1, "high": 2}, [0.9, 1.5], {}, "contradicts"),
    "both, above": ({"low": 1, "high": 2}, [1.5, 2.1], {}, "contradicts"),
    "a formula's bounds": ({}, [1.5], {"low": 1.0, "high": 2.0}, "reproduced"),
    "outside a formula's bound": ({}, [1.5, 2.5], {"high": 2.0}, "contradicts"),
    "a bound of zero": ({"low": 0}, [-1e-3], {}, "contradicts"),
    "one bound of each kind": ({"low": 1}, [1.5], {"high": 1.2}, "contradicts"),
}


@pytest.mark.parametrize(("bounds", "measured", "predicted", "verdict"), NEAR.values(), ids=NEAR)
def test_near_a_prediction(bounds, measured, predicted, verdict):
    assert ledger(**bounds).claim("a", torch.tensor(measured), predicted).verdict == verdict


@pytest.mark.parametrize(("bounds", "measured", "given", "verdict"), INSIDE.values(), ids=INSIDE)
def test_inside_bounds(bounds, measured, given, verdict):
    assert ledger(**bounds).claim("a", torch.tensor(measured), **given).verdict == verdict


STATISTIC = {
    "every run, one outside": ({"low": 10}, [9.0, 100.0, 1000.0], None, "contradicts"),
    "median inside, one run outside": ({"statistic": "median", "low": 10}, [9.0, 100.0, 1000.0], None, "reproduced"),
    "median outside, one run inside": ({"statistic": "median", "low": 10}, [8.0, 9.0, 1000.0], None, "contradicts"),
    "median of two runs is between": ({"statistic": "median", "low": 10}, [8.0, 13.0], None, "reproduced"),
    "geometric mean inside, median outside": (
        {"statistic": "geometric mean", "low": 10},
        [8.0, 9.0, 1000.0],
        None,
        "reproduced",
    ),
    "geometric mean outside, median inside": (
        {"statistic": "geometric mean", "low": 10},
        [0.1, 11.0, 12.0],
        None,
        "contradicts",
    ),
    "geometric mean, not the mean": ({"statistic": "geometric mean", "high": 10}, [1.0, 1.0, 100.0], None, "reproduced"),
    "near a prediction, one run outside": ({"statistic": "median", "within": 1}, [5.0, 20.0, 21.0], 20.5, "reproduced"),
    "far from a prediction, one run near": ({"statistic": "median", "within": 1}, [20.5, 9.0, 8.0], 20.5, "contradicts"),
}


@pytest.mark.parametrize(("bounds", "measured", "predicted", "verdict"), STATISTIC.values(), ids=STATISTIC)
def test_a_claim_may_be_about_one_number_of_all_runs(bounds, measured, predicted, verdict):
    assert ledger(**bounds).claim("a", torch.tensor(measured), predicted).verdict == verdict


def test_the_number_that_was_judged_is_named_and_the_spread_stays():
    runs = torch.tensor([[1.0, 10.0], [1000.0, 400.0]])
    median = ledger(statistic="median", low=10).claim("a", runs)
    assert (median.measured, median.spread) == ("median 205", "1 to 1000 in 4 runs")
    mean = ledger(statistic="geometric mean", low=10).claim("a", runs)
    assert (mean.measured, mean.spread) == ("geometric mean 44.7", "1 to 1000 in 4 runs")
    assert ledger(low=10).claim("a", runs).measured == "205"  # shown, while every run was judged


def test_what_a_claim_says():
    c = ledger(within=2, place="eq. 3", note="why").claim("a", torch.tensor([[170], [172.4], [173]]), 171)
    assert c == Claim(
        id="a", lesson="07", place="eq. 3", note="why", verdict="reproduced", **TEXT,
        predicted="171", measured="172", spread="170 to 173 in 3 runs", tolerance="± 2", kind="law",
    )  # fmt: skip
    assert ledger(within_percent=1).claim("a", 2.0, 2.0203).tolerance == "± 1 %"
    bounded = ledger(low=0.3, high=1).claim("a", torch.full((4,), 0.5))
    assert (bounded.predicted, bounded.tolerance) == ("at least 0.3, at most 1", "none")
    assert (bounded.measured, bounded.spread) == ("0.5", "0.5 in all 4 runs")
    assert ledger(high=1).claim("a", 0.25).spread == "one run"


KINDS = {
    "law": ({"within": 2}, {"predicted": 1.0}, "law"),
    "nothing but rounding": ({"high": 1e-8}, {}, "law"),
    "bound": ({}, {"high": 2.0}, "bound"),
    "ours": ({"low": 0.3, "ours": True}, {}, "sanity bound"),
}


@pytest.mark.parametrize(("text", "given", "kind"), KINDS.values(), ids=KINDS)
def test_laws_bounds_and_numbers_of_our_own_are_told_apart(text, given, kind):
    assert ledger(**text).claim("a", 1e-9 if "high" in text else 1.0, **given).kind == kind


def test_a_setting_is_filled_with_what_was_run():
    book = ledger(low=0, setting="n = {n}, η = {eta:g}, {runs} runs")
    assert book.claim("a", torch.ones(3), n=40, eta=0.02).setting == "n = 40, η = 0.02, 3 runs"
    for ran in ({"n": 40}, {"n": 40, "eta": 0.02, "d": 5}):
        with pytest.raises(ValueError, match=r"asks for \['eta', 'n'\]; got"):
            ledger(low=0, setting="n = {n}, η = {eta:g}").claim("a", 1.0, **ran)


def test_the_median_of_two_runs_lies_between_them():
    assert ledger(high=9).claim("a", torch.tensor([1.0, 2.0])).measured == "1.5"


@pytest.mark.parametrize("measured", [math.nan, math.inf, [1.0, -math.inf], [1.0, math.nan], []])
def test_a_measurement_that_is_not_finite_is_refused(measured):
    book = ledger(low=0)
    with pytest.raises(ValueError, match="claim 'a' has a measurement that is not finite"):
        book.claim("a", torch.tensor(measured))
    assert book.claims == {}


def test_a_prediction_that_is_not_a_number_is_not_reproduced():
    assert ledger(within=2).claim("a", 1.0, math.nan).verdict == "contradicts"


def test_unknown_and_repeated_claims_are_refused():
    book = ledger(high=1)
    with pytest.raises(ValueError, match="claim 'b' is not in the file: lesson 07"):
        book.claim("b", 0.5)
    first = book.claim("a", 0.5)
    with pytest.raises(ValueError, match="claim 'a' is entered already"):
        book.claim("a", 0.7)
    assert book.claims == {"a": first}


def test_a_claim_needs_something_to_compare_with():
    with pytest.raises(ValueError, match="claim 'a' has a prediction but no tolerance"):
        ledger().claim("a", 1.0, 1.0)
    with pytest.raises(ValueError, match="claim 'a' has neither a prediction nor a bound"):
        ledger().claim("a", 1.0)


def test_an_unmeasured_claim_is_not_passed_over():
    book = Ledger("07", {"a": {**TEXT, "high": 1}, "b": TEXT, "c": TEXT})
    book.claim("a", 0.5)
    with pytest.raises(ValueError, match="lesson 07 never measured its claims b, c"):
        book._repr_mimebundle_()


BAD = {
    "no statement": ({"statement": None}, r"lacks \['statement'\]"),
    "no paper and no setting": ({"paper": None, "setting": None}, r"lacks \['paper', 'setting'\]"),
    "unknown word": ({"withn": 2}, r"unknown \['withn'\]"),
    "verdict without a note": ({"verdict": "qualitative"}, "come with a note"),
    "verdict with an empty note": ({"verdict": "qualitative", "note": ""}, "come with a note"),
    "unknown statistic": ({"statistic": "mean"}, "a statistic is one of median, geometric mean; got 'mean'"),
    "unknown verdict": ({"verdict": "true", "note": "because"}, "must be one of reproduced, qualitative"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_badly_written_claim_is_refused_at_once(change, message):
    text = {word: value for word, value in {**TEXT, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=f"claim 'a'.*{message}"):
        Ledger("07", {"a": text})


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_verdict_of_its_own_stands_whatever_was_measured(verdict):
    claim = ledger(verdict=verdict, note="another scale", within=1).claim("a", 5.0, 1.0)
    assert (claim.verdict, claim.note) == (verdict, "another scale")


def test_a_lesson_without_claims_is_named():
    with pytest.raises(ValueError, match="lesson 99 has no claims: there is no regimes_course/lesson99/claims.toml"):
        Ledger("99")


def test_what_a_notebook_stores():
    book = Ledger("07", {"a": {**TEXT, "within": 2}, "b": {**TEXT, "verdict": "qualitative", "note": "small n", "low": 0}})
    book.claim("b", torch.tensor([0.7, 0.5, 0.6]))
    book.claim("a", torch.tensor([171.0]), 171)
    bundle = book._repr_mimebundle_()
    assert bundle.keys() == {"text/plain", "text/markdown", MIME} and MIME == "application/vnd.regimes.claims+json"
    records = json.loads(json.dumps(bundle[MIME]))
    assert [r["id"] for r in records] == ["b", "a"]
    assert all(list(r) == list(Claim.__dataclass_fields__) for r in records)
    assert all(isinstance(value, str) for r in records for value in r.values())
    assert bundle["text/plain"].splitlines() == [
        "b: predicted at least 0, measured 0.6 (0.5 to 0.7 in 3 runs): qualitative",
        "a: predicted 171, measured 171 (one run): reproduced",
    ]


def test_the_table_has_six_columns_and_says_why():
    book = Ledger("07", {"a": {**TEXT, "place": "eq. 3", "verdict": "contradicts", "note": "seen twice", "low": 0}})
    book.claim("a", 0.5)
    head, rule, row = book.markdown().splitlines()
    assert {line.count("|") for line in (head, rule, row)} == {7}
    assert row.startswith("| It falls. *Arbel et al. 2023, eq. 3. n = 4.* |")
    assert row.endswith("| **contradicts**: seen twice |")


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.parent.name)
def test_the_claims_of_each_lesson_are_well_formed(file):
    texts = tomllib.loads(file.read_text(encoding="utf8"))
    lesson = file.parent.name.removeprefix("lesson")
    assert len(texts) >= 6 and Ledger(lesson).texts == texts
    for id, text in texts.items():
        words = [text[word] for word in text.keys() & WORDS]
        assert all(isinstance(word, str) and word.strip() == word != "" for word in words), id
        assert not any(c in word for word in words for c in "|\n"), f"{id}: a bar or a line break would break the table"
        numbers = [text[bound] for bound in text.keys() & BOUNDS]
        assert all(type(n) in (int, float) and math.isfinite(n) for n in numbers), id
        assert all(text[b] > 0 for b in text.keys() & {"within", "within_percent"}), f"{id}: a tolerance of nothing"
        assert not {"within", "within_percent"} <= text.keys(), f"{id}: one tolerance, not two"
        assert text.get("low", -math.inf) < text.get("high", math.inf), id


def test_there_are_claims():
    assert [file.parent.name for file in FILES][:2] == ["lesson00", "lesson01"]


@pytest.mark.parametrize(("predicted", "file"), [(1.0, {"within": 2}), (None, {"low": 0.0})])
def test_a_claim_is_compared_with_one_thing(predicted, file):
    text = {"statement": "s", "paper": "p", "setting": "t", **file}
    with pytest.raises(ValueError, match="leave out low"):
        Ledger("01", {"a": text}).claim("a", 1.0, predicted, low=0.5)


def test_a_geometric_mean_wants_positive_numbers():
    with pytest.raises(ValueError, match="geometric mean of numbers that are not positive"):
        ledger(low=1, statistic="geometric mean").claim("a", torch.tensor([1.0, 0.0]))

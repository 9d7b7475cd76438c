"""A lesson shows a few rows of what its deeper notebook measured, and never other ones."""

import json
from importlib import resources

import pytest

from regimes_course.kit import stored as module
from regimes_course.kit.stored import evidence, measured

LESSON = "01"
CLAIMS = json.loads((resources.files("regimes_course") / f"lesson{LESSON}/measured.json").read_text("utf8"))
IDS = [claim["id"] for claim in CLAIMS]


def test_a_row_holds_the_words_and_numbers_of_its_claim(monkeypatch):
    shown = []
    monkeypatch.setattr(module, "display", lambda data, raw: shown.append(data))
    evidence(LESSON, *IDS[1:4])
    rows = shown[0]["text/markdown"].split("\n")[2:]
    assert [claim["statement"] in row and claim["spread"] in row for claim, row in zip(CLAIMS[1:4], rows, strict=True)] == [
        True
    ] * 3
    assert [claim["measured"] in line for claim, line in zip(CLAIMS[1:4], shown[0]["text/plain"].split("\n"), strict=True)]
    assert list(measured(LESSON)) == IDS


@pytest.mark.parametrize("ids", [(), ("unheard-of",), IDS[:7]], ids=["none", "unknown", "too many"])
def test_what_it_refuses(ids):
    with pytest.raises(ValueError, match="evidence shows one to 6 claims of lesson 01"):
        evidence(LESSON, *ids)


def test_a_lesson_that_has_measured_nothing():
    with pytest.raises(ValueError, match="lesson 77 has measured nothing yet"):
        evidence("77", "a")

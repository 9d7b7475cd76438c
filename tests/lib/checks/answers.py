"""What the tests of all lessons' checks share: tables of answers that the exercises do not list, as parameters of a test.

A table of slips has for each exercise rows ``(what is wrong, the mistake it is recognised as or None, the answer)``; one of
solutions has for each exercise the answers by name.
"""

import pytest

from regimes.checks import check


def slips(lesson, table):
    """``(key, mistake, answer)`` of every row."""
    rows = [(key, *row) for key, group in table.items() for row in group]
    return [pytest.param(f"{lesson}/{key}", mistake, answer, id=f"{key}, {name}") for key, name, mistake, answer in rows]


def solutions(lesson, table):
    """``(key, answer)`` of every entry."""
    return [pytest.param(f"{lesson}/{k}", a, id=f"{k}, {name}") for k, group in table.items() for name, a in group.items()]


def rejected(key, answer, quoted=""):
    """The result of an answer that has to be wrong, with a diagnosis in words, without NaN outside what is ``quoted``."""
    result = check(key, answer)
    assert result.status == "wrong" and len(result.diagnosis) > 20
    assert "nan" not in (result.diagnosis.replace(quoted, "") if quoted else result.diagnosis)
    return result


def assert_accepted(key, answer):
    """The answer passes."""
    result = check(key, answer)
    assert result.status == "passed", result.diagnosis

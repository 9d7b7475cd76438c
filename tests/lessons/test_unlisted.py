"""Slips that no exercise lists are rejected, and solutions that none lists are accepted.

The answers stand in the module of their lesson: for each exercise in ``WRONG`` rows ``(what is wrong, the mistake it is
recognised as or None, the answer)``, and in ``RIGHT`` the answers by name.
"""

import re

import pytest

from regimes_course.exercises import check
from tests.lessons.lesson01 import test_lesson01
from tests.lessons.lesson03 import test_lesson03
from tests.lessons.lesson04 import test_lesson04_first
from tests.lessons.lesson05 import test_lesson05
from tests.lessons.lesson06 import test_lesson06
from tests.lessons.lesson07 import test_lesson07
from tests.lessons.lesson09 import test_lesson09

LESSONS = {
    "01": test_lesson01,
    "03": test_lesson03,
    "04": test_lesson04_first,
    "05": test_lesson05,
    "06": test_lesson06,
    "07": test_lesson07,
    "09": test_lesson09,
}
SLIPS = [(f"{n}/{key}", *row) for n, module in LESSONS.items() for key, rows in module.WRONG.items() for row in rows]
RIGHT = [(f"{n}/{key}", *row) for n, module in LESSONS.items() for key, rows in module.RIGHT.items() for row in rows.items()]


def table(rows):
    return [pytest.param(key, *row, id=f"{key}, {name}") for key, name, *row in rows]


@pytest.mark.parametrize(("key", "mistake", "answer"), table(SLIPS))
def test_an_unlisted_slip_is_rejected(key, mistake, answer):
    result = check(key, answer)
    assert (result.status, result.mistake) == ("wrong", mistake), result
    assert len(result.diagnosis) > 20
    assert "nan" not in re.sub("nan;|returned nan", "", result.diagnosis)  # none but those that the answer returned


@pytest.mark.parametrize(("key", "answer"), table(RIGHT))
def test_an_unlisted_solution_is_accepted(key, answer):
    result = check(key, answer)
    assert result.status == "passed", result.diagnosis

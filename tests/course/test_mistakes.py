"""Every exercise rejects its typical mistakes with the matching diagnosis, and accepts every right answer."""

import pytest

from regimes_course.exercises import EXERCISES, check

MISTAKES = [(key, mistake) for key, e in EXERCISES.items() for mistake in e.mistakes]
RIGHT = [(key, i) for key, e in EXERCISES.items() for i in range(len(e.alternatives))]


@pytest.mark.parametrize(("key", "mistake"), MISTAKES, ids=lambda p: getattr(p, "name", p))
def test_a_mistake_is_recognised_by_name(key, mistake):
    for example in mistake.examples:
        result = check(key, example)
        assert (result.status, result.mistake) == ("wrong", mistake.name)
        assert result.diagnosis == mistake.says


@pytest.mark.parametrize(("key", "i"), RIGHT)
def test_another_right_answer_is_accepted(key, i):
    result = check(key, EXERCISES[key].alternatives[i])
    assert result.status == "passed", result.diagnosis


@pytest.mark.parametrize("key", EXERCISES)
def test_there_are_enough_of_both(key):
    exercise = EXERCISES[key]
    names = [m.name for m in exercise.mistakes]
    assert len(names) == len(set(names)) >= 6
    assert len(exercise.alternatives) >= 2

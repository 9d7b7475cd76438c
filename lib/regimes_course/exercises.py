"""What answers an exercise: one file a lesson, each with the mistakes it must recognise."""

from regimes_course.kit.checking import Behaviour, Exercise, Function, Mistake, Result
from regimes_course.kit.page import show
from regimes_course.learner.progress import record
from regimes_course.lesson01 import checks as lesson01
from regimes_course.lesson02 import checks as lesson02
from regimes_course.lesson03 import checks as lesson03
from regimes_course.lesson04 import checks as lesson04
from regimes_course.lesson05 import checks as lesson05
from regimes_course.lesson06 import checks as lesson06
from regimes_course.lesson07 import checks as lesson07
from regimes_course.lesson08 import checks as lesson08
from regimes_course.lesson09 import checks as lesson09
from regimes_course.lesson10 import checks as lesson10

__all__ = ["EXERCISES", "Behaviour", "Exercise", "Function", "Mistake", "Result", "WrongAnswer", "check", "see"]

LESSONS = (lesson01, lesson02, lesson03, lesson04, lesson05, lesson06, lesson07, lesson08, lesson09, lesson10)
EXERCISES: dict[str, Exercise] = {e.key: e for lesson in LESSONS for e in lesson.EXERCISES}
_checked: dict[str, tuple[object, Result]] = {}  # of each exercise the last answer, and its verdict


class WrongAnswer(AssertionError):
    """Raised by ``check(..., strict=True)`` for an answer that is wrong or missing."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, not the places of files on a grader's machine."""
        return [f"{type(self).__name__}: {self}"]


def check(key: str, answer, *, strict: bool = False) -> Result:
    """Check an answer and say what is wrong with it. Never raises in a notebook, whatever the answer does.

    In the folder ``work`` each verdict is kept, for ``python3 course.py progress``.

    Args:
        key: ``"01/gn_direction"``, as printed in the exercise.
        answer: the learner's function itself, not its value.
        strict: raise instead, for grading and for tests.

    Raises:
        KeyError: for an unknown exercise.
        WrongAnswer: if ``strict`` and the answer did not pass.
    """
    exercise = _exercise(key)
    try:
        result = exercise.examine(answer)
    except KeyboardInterrupt:
        result = Result(key, "wrong", "Your function was stopped. Is there a loop without an end?")
        _checked[key] = answer, result  # so that `see` does not begin it again
        if not strict:
            raise
        raise WrongAnswer(f"{key}: {result.diagnosis}") from None
    _checked[key] = answer, result
    record(key, result.status, result.mistake)
    if strict and result.status != "passed":
        raise WrongAnswer(f"{key}: {result.diagnosis}")
    return result


def see(key: str, answer) -> None:
    """Show the picture of an exercise, drawn with an answer that passes its check, else with a solution; it says which.

    A picture that prints the answer waits for one that passes.

    Keeps no verdict, and never raises in a notebook, whatever the answer does.

    Args:
        key: as for `check`.
        answer: the learner's function itself.

    Raises:
        KeyError: for an unknown exercise, or one without a picture.
    """
    exercise = _exercise(key)
    checked, result = _checked.get(key, (None, None))
    if result is None or checked is not answer:  # a check can take seconds: its verdict on this very function stands
        result = exercise.examine(answer)
    has_a_solution = bool(exercise.alternatives)  # not so in a course that was released to a class
    if result.status != "passed" and (exercise.spoiler or not has_a_solution):
        why = ": it prints the answer" if exercise.spoiler else ""
        print(f"Here the picture is drawn only with a function that has passed its check{why}.")
        return
    show(*exercise.draw_with(answer, result))


def _exercise(key: str) -> Exercise:
    if key not in EXERCISES:
        raise KeyError(f"there is no exercise {key!r}; there are {', '.join(EXERCISES)}")
    return EXERCISES[key]

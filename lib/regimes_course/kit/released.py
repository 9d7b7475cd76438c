"""Checks of a course that was released to a class: right values for the cases they show, and nothing that computes them.

What is hidden stays with the teacher: other cases, and exercises whose judgement would give an answer away.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import PicklingError

import torch

from regimes_course.kit.checking import Exercise, Function, Mistake, Picture, Result
from regimes_course.kit.comparing import Outcome

KEYS = "keys.pt"
LATER = "Handed in, this one is judged by your teacher's grader; here nothing is known that could tell."


@dataclass(frozen=True)
class Values:
    """What is released of a `Function`.

    Attributes:
        key, praise, rtol, picture: as there.
        cases: arguments by label.
        right: what is right for each.
        mistakes: for each, its name, its sentence, and what each of its examples does in each case.
    """

    key: str
    praise: str
    rtol: float
    cases: dict[str, tuple]
    right: dict[str, Outcome]
    mistakes: list[tuple[str, str, list[list[Outcome]]]]
    picture: Picture | None

    @classmethod
    def of(cls, exercise: Function) -> "Values":
        """The values of an exercise; a mistake that is recognised by a function and not by values is left out."""
        cases = exercise.cases()
        outcome = lambda function: [Outcome.of(function, args, exercise.form) for args in cases.values()]  # noqa: E731
        mistakes = [(m.name, m.says, list(map(outcome, m.examples))) for m in exercise.mistakes if not m.seen]
        right = dict(zip(cases, outcome(exercise.reference), strict=True))
        return cls(exercise.key, exercise.praise, exercise.rtol, cases, right, mistakes, exercise.picture)

    def exercise(self) -> "Shown":
        """An exercise that checks with them."""
        mistakes = [Mistake(name, says, _unknown) for name, says, _ in self.mistakes]
        examples = {name: outcomes for name, _, outcomes in self.mistakes}
        cases = lambda: self.cases  # noqa: E731
        known = {"right": self.right, "examples": examples, "picture": self.picture}
        return Shown(self.key, _unknown, cases, mistakes, (), self.praise, self.rtol, **known)


@dataclass(frozen=True)
class Shown(Function):
    """A `Function` that knows what is right only for the cases it shows."""

    right: dict[str, Outcome] | None = None
    examples: dict[str, list[list[Outcome]]] | None = None

    def wanted(self, cases: dict[str, tuple]) -> dict[str, Outcome]:
        """What is right."""
        return self.right or {}

    def made_by(self, mistake: Mistake, arguments: Sequence[tuple]) -> Iterator[list[Outcome]]:
        """What its examples do."""
        return iter((self.examples or {})[mistake.name])


@dataclass(frozen=True)
class Withheld(Exercise):
    """An exercise that only the teacher can check."""

    key: str
    mistakes: Sequence[Mistake] = ()
    alternatives: Sequence[Callable] = ()

    def _judge(self, answer: Callable) -> Result:
        return Result(self.key, "not attempted", LATER)


def _unknown(*arguments):
    raise LookupError("this course was released to a class, without what computes the right values")


def save(exercises: Sequence[Exercise], folder: Path) -> int:
    """Write what is released of the exercises of a lesson; how many of them are withheld."""
    records = [_shown(one) or Withheld(one.key) for one in exercises]
    torch.save(records, folder / KEYS)
    return sum(isinstance(record, Withheld) for record in records)


def _shown(exercise: Exercise) -> Values | None:
    """Its values, if it compares any, and if they can be written down without a function or class of the checks themselves."""
    if type(exercise) is not Function:
        return None
    values, buffer = Values.of(exercise), io.BytesIO()
    try:
        torch.save(values, buffer)
    except (AttributeError, TypeError, PicklingError):  # a function made on the spot
        return None
    return None if b".checks" in buffer.getvalue() else values


def load(folder: Path) -> tuple[Exercise, ...]:
    """The exercises of a lesson, out of the file beside its checks."""
    records = torch.load(folder / KEYS, weights_only=False)  # from the teacher, like the code that reads it
    return tuple(one.exercise() if isinstance(one, Values) else one for one in records)

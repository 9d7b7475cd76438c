"""How answers are examined: compare, recognise a typical mistake, and say so.

An exercise of the kind `Function` runs the learner's function on cases from simple to hard and compares with an independent
reference. One of the kind `Behaviour` lets the learner's function act and judges what it did. Both recognise typical mistakes
by name; each mistake carries an example, so that the tests can demand that it is recognised.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from numbers import Integral
from typing import Any

import numpy as np
import torch

__all__ = ["Behaviour", "Exercise", "Function", "Mistake", "Outcome", "Result"]

MIME = "application/vnd.regimes.check+json"
SIGNS = {"passed": "✓", "wrong": "✗", "not attempted": "○"}
ERRSTATE = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # NumPy's own, whatever the notebook set


@dataclass(frozen=True)
class Result:
    """What a check found. Shows itself in a notebook.

    Attributes:
        key: of the exercise.
        status: ``"passed"``, ``"wrong"`` or ``"not attempted"``.
        diagnosis: a sentence for the learner.
        mistake: the name of the mistake that was recognised, if one was.
    """

    key: str
    status: str
    diagnosis: str
    mistake: str | None = None

    def __str__(self) -> str:
        return f"{SIGNS[self.status]} {self.key}: {self.status}. {self.diagnosis}".rstrip()

    def _repr_mimebundle_(self, include=None, exclude=None):
        text = escape(self.diagnosis)
        html = f"<p role='status'><b>{SIGNS[self.status]} {self.key}: {self.status}.</b> {text}</p>"
        record = {"key": self.key, "status": self.status, "diagnosis": self.diagnosis, "mistake": self.mistake}
        return {"text/plain": str(self), "text/html": html, MIME: record}


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer.

    Attributes:
        name: short, for the tests.
        says: the diagnosis: what the learner did, and where to look.
        example: an answer that makes the mistake.
        seen: for a `Behaviour`, whether an observation shows it.
    """

    name: str
    says: str
    example: Callable
    seen: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Outcome:
    """What a function did with one set of arguments: a value, or what it raised, or the argument it changed."""

    value: Any = None
    raised: str | None = None
    changed: int | None = None

    @classmethod
    def of(cls, function: Callable, args: Sequence) -> "Outcome":
        """Call ``function`` on copies of the arguments, and look whether it leaves them alone."""
        given = copy.deepcopy(tuple(args))
        try:
            value = function(*given)
        except NotImplementedError:
            raise
        except (Exception, SystemExit) as error:
            return cls(raised=said(error))
        changed = [i for i, (a, b) in enumerate(zip(given, args, strict=True)) if not same(a, b, 0.0)]
        return cls(value=value, changed=changed[0] if changed else None)

    def agrees(self, other: "Outcome", rtol: float) -> bool:
        """Whether two functions did the same: equal values, or the same kind of error."""
        if self.raised or other.raised:
            return bool(self.raised and other.raised) and self.raised.split(":")[0] == other.raised.split(":")[0]
        return self.changed == other.changed and same(self.value, other.value, rtol)


class Exercise:
    """What all exercises share: a key, the mistakes they recognise, other right answers, and the way a check goes."""

    key: str
    mistakes: Sequence[Mistake]
    alternatives: Sequence[Callable]

    def examine(self, answer: Any) -> Result:
        """The learner's answer, judged. Never raises."""
        try:
            if callable(answer):
                with np.errstate(**ERRSTATE):
                    return self._judge(answer)
            name, got = self.key.split("/")[1], f"{type(answer).__name__} {printed(answer, repr, 60)}"
            wants = f"this check wants the function itself, check({self.key!r}, {name}), not its value"
            return self._wrong(f"{wants}; it got {got}")
        except NotImplementedError:
            return Result(
                self.key, "not attempted", "Replace the line that raises NotImplementedError, run the cell, check again."
            )
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: an answer must not end the notebook
            return self._wrong(f"the check could not follow what your answer did ({said(error)})")

    def _judge(self, answer: Callable) -> Result:
        raise NotImplementedError

    def _wrong(self, diagnosis: str, mistake: str | None = None) -> Result:
        return Result(self.key, "wrong", diagnosis[0].upper() + diagnosis[1:], mistake)


@dataclass(frozen=True)
class Function(Exercise):
    """An exercise whose answer is a function with a right value.

    Attributes:
        key: ``"01/gn_direction"``.
        reference: an independent right answer, slow and literal.
        cases: argument tuples from simple to hard, each with a label that a learner understands.
        mistakes: at least six, tried in this order.
        alternatives: at least two other right answers, for the tests.
        praise: said when the answer passed.
        rtol: relative tolerance.
    """

    key: str
    reference: Callable
    cases: Callable[[], dict[str, tuple]]
    mistakes: Sequence[Mistake]
    alternatives: Sequence[Callable]
    praise: str
    rtol: float = 1e-7

    def _judge(self, answer: Callable) -> Result:
        cases = self.cases()
        got = {label: Outcome.of(answer, args) for label, args in cases.items()}
        want = {label: Outcome.of(self.reference, args) for label, args in cases.items()}
        failed = [label for label in cases if not got[label].agrees(want[label], self.rtol)]
        if not failed:
            return Result(self.key, "passed", self.praise)
        for mistake in self.mistakes:
            if all(got[label].agrees(Outcome.of(mistake.example, args), self.rtol) for label, args in cases.items()):
                return self._wrong(mistake.says, mistake.name)
        first = failed[0]
        return self._wrong(f"{describe(got[first], want[first], self.rtol)} (case: {first})")


@dataclass(frozen=True)
class Behaviour(Exercise):
    """An exercise whose answer does something, and is judged by what it did.

    Attributes:
        key: ``"01/find_the_bug"``.
        observe: lets the answer act, returns what was seen.
        passed: whether that is as it should be.
        mistakes: at least six, each with a ``seen``; the first that applies names the diagnosis.
        alternatives: at least two other right answers, for the tests.
        praise: said when the answer passed; may use the observation.
        otherwise: said when no mistake was recognised; may use the observation.
    """

    key: str
    observe: Callable[[Callable], Any]
    passed: Callable[[Any], bool]
    mistakes: Sequence[Mistake]
    alternatives: Sequence[Callable]
    praise: Callable[[Any], str]
    otherwise: Callable[[Any], str]

    def _judge(self, answer: Callable) -> Result:
        try:
            seen = self.observe(answer)
        except NotImplementedError:
            raise
        except (Exception, SystemExit) as error:
            return self._wrong(f"your function raised {said(error)}")
        if self.passed(seen):
            return Result(self.key, "passed", self.praise(seen))
        for mistake in self.mistakes:
            if mistake.seen(seen):
                return self._wrong(mistake.says, mistake.name)
        return self._wrong(self.otherwise(seen))


def said(error: BaseException) -> str:
    """The kind of an error and its message, if it can be printed."""
    return f"{type(error).__name__}: {printed(error, str, 500)}"


def printed(value: Any, form: Callable[[Any], str], most: int) -> str:
    """``repr(value)`` or ``str(value)``, its first characters, whatever the learner's object makes of it."""
    try:
        return form(value)[:most]
    except (Exception, SystemExit) as error:
        return f"(its {form.__name__} raises {type(error).__name__})"


def random(seed: int, *shape: int) -> torch.Tensor:
    """Standard normal float64 numbers for a case."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(a: Any, b: Any, rtol: float) -> bool:
    """Equal in kind, shape, dtype and, to ``rtol`` of the largest finite entry, in value. Never broadcasts."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        size = b.detach().abs().nan_to_num(posinf=0.0).max().item() if b.numel() else 0.0
        return torch.allclose(a, b, rtol=0.0, atol=rtol * size, equal_nan=True)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(same(i, j, rtol) for i, j in zip(a, b, strict=True))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Integral) and isinstance(b, Integral):  # NumPy's whole numbers are whole numbers
        return abs(int(a) - int(b)) <= rtol * abs(int(b))
    if isinstance(a, int | float) and isinstance(b, int | float):
        return isinstance(a, float) is isinstance(b, float) and (a == b or abs(a - b) <= rtol * abs(b))
    return type(a) is type(b) and bool(a == b)


def describe(got: Outcome, want: Outcome, rtol: float = 0.0) -> str:
    """What is wrong with one outcome, for a mistake nobody foresaw."""
    if got.raised:
        return f"your function raised {got.raised}"
    if got.changed is not None:
        return f"your function changes its argument number {got.changed + 1} in place; work on a copy"
    a, b = got.value, want.value
    if a is None:
        return "your function returned nothing; is a return missing?"
    if not isinstance(a, type(b)) and not (isinstance(a, list) and isinstance(b, tuple)):
        return f"your function returned a {type(a).__name__}; expected a {type(b).__name__}"
    if isinstance(b, torch.Tensor):
        if a.shape != b.shape:
            return f"your function returned shape {tuple(a.shape)}; expected {tuple(b.shape)}"
        if a.dtype != b.dtype:
            return f"your function returned {a.dtype}; expected {b.dtype}"
        if a.isnan().any() and not b.isnan().any():
            return f"of the {a.numel()} entries {int(a.isnan().sum())} are NaN (0/0, or a number outside a function's domain)"
        return f"the values differ by {_distance(a, b):.2g} of the largest entry"
    if isinstance(b, tuple | list) and len(a) != len(b):
        return f"your function returned {len(a)} values; expected {len(b)}"
    if isinstance(b, tuple | list) and any(isinstance(i, torch.Tensor) for i in (*a, *b)):
        wrong = next(k for k in range(len(b)) if not same(a[k], b[k], rtol))
        return f"value number {wrong + 1}: {describe(Outcome(a[wrong]), Outcome(b[wrong]), rtol)}"
    if isinstance(b, tuple | list) and list(a) == list(b):
        kinds = (", ".join(type(i).__name__ for i in t) for t in (a, b))
        return "the values are right, but of another type: {}; expected {}".format(*kinds)
    return f"your function returned {a}; that is not right"


def _distance(a, b) -> float:
    return ((a - b).abs().max() / b.abs().max()).item()

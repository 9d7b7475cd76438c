"""How answers are examined: compare, recognise a typical mistake, and say so.

An exercise of the kind `Function` runs the learner's function on cases from simple to hard and compares with an independent
reference. One of the kind `Behaviour` lets the learner's function act and judges what it did. Both recognise typical mistakes
by name; each mistake carries an example, so that the tests can demand that it is recognised.

After its cases a `Function` is tried on twenty that are drawn, always the same: they find what no listed case does.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from html import escape
from random import Random
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from regimes_course.kit.comparing import Complaint, Outcome, describe, given, parameters, printed, random, said, stub

__all__ = ["Behaviour", "Complaint", "Exercise", "Function", "Mistake", "Picture", "Result", "Trial", "random"]

MIME = "application/vnd.regimes.check+json"
DRAWN = 20
Picture = Callable[[Callable], tuple[Figure, str]]  # the answer: a figure, and the sentence that says what it shows
SIGNS = {"passed": "✓", "wrong": "✗", "not attempted": "○"}
ERRSTATE = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # NumPy's own, whatever the notebook set


@dataclass(frozen=True)
class Trial:
    """One case of a `Function`: its arguments, what the answer did, what is right, and whether they agree."""

    args: tuple
    got: Outcome
    want: Outcome
    right: bool


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
        seen: for a `Behaviour`, whether an observation shows it; for a `Function`, whether the trials do. Without one a
            function shows the mistake if it does in all cases what the example does.
        also: more examples, for what is one mistake and comes in several forms.
    """

    name: str
    says: str
    example: Callable
    seen: Callable[[Any], bool] | None = None
    also: Sequence[Callable] = ()

    @property
    def examples(self) -> tuple[Callable, ...]:
        """All of them."""
        return (self.example, *self.also)


class Exercise:
    """What all exercises share: a key, the mistakes they recognise, other right answers, the way a check goes, and a picture
    that is drawn with the answer."""

    key: str
    mistakes: Sequence[Mistake]
    alternatives: Sequence[Callable]
    picture: Picture | None
    spoiler: bool = False  # whether the picture prints the answer, so that no solution may draw it

    def examine(self, answer: Any) -> Result:
        """The learner's answer, judged. Never raises."""
        try:
            if callable(answer):
                with _as_usual():
                    return self._judge(answer)
            name, got = self.key.split("/")[1], f"{type(answer).__name__} {printed(answer, repr, 60)}"
            wants = f"this check wants the function itself, check({self.key!r}, {name}), not its value"
            return self._wrong(f"{wants}; it got {got}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: an answer must not end the notebook
            return self._wrong(f"the check could not follow what your answer did ({said(error)})")

    def draw_with(self, answer: Any, result: Result) -> tuple[Figure, str]:
        """The picture of the exercise, from an answer that ``result`` says has passed, or else from a right one; title and
        sentence say from which. Never raises for what an answer does."""
        mark = "drawn with a solution: yours has not passed yet"
        if result.status == "passed":
            try:
                return self._drawn(answer, f"drawn with your {self.key.split('/')[1]}")
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # it passed, and fails for what the picture asks of it
                mark = f"drawn with a solution: yours passed, but the picture cannot use it ({said(error)})"
        return self._drawn(self.alternatives[0], mark)

    def _drawn(self, answer: Callable, mark: str) -> tuple[Figure, str]:
        if self.picture is None:
            raise KeyError(f"exercise {self.key!r} has no picture")
        with _as_usual():
            fig, says = self.picture(answer)
        short = mark.split(" (")[0]  # an error's words would not fit into a title
        fig.suptitle("\n".join(filter(None, [fig.get_suptitle(), f"({short})"])), fontsize=10.5)
        return fig, f"{mark[0].upper()}{mark[1:]}. {says}"

    def _judge(self, answer: Callable) -> Result:
        raise NotImplementedError

    def _wrong(self, diagnosis: str, mistake: str | None = None) -> Result:
        return Result(self.key, "wrong", diagnosis[0].upper() + diagnosis[1:], mistake)

    def _untouched(self) -> Result:
        says = "Replace the line that raises NotImplementedError, run the cell, check again."
        return Result(self.key, "not attempted", says)


@contextmanager
def _as_usual() -> Iterator[None]:
    """NumPy's warnings, torch's gradients and torch's device as they are in a fresh notebook, whatever this one has set."""
    with ExitStack() as settings:
        settings.enter_context(np.errstate(**ERRSTATE))
        settings.enter_context(torch.enable_grad())
        if torch.get_default_device() != torch.device("cpu"):
            settings.enter_context(torch.device("cpu"))
        yield


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
        draw: arguments from a random generator, for twenty more cases.
        seed: of these; a grader takes another one, so that nobody has seen its cases.
        picture: a figure and its sentence, computed from what the answer returns.
        spoiler: whether the picture prints the answer, so that it waits for one that passes.
    """

    key: str
    reference: Callable
    cases: Callable[[], dict[str, tuple]]
    mistakes: Sequence[Mistake]
    alternatives: Sequence[Callable]
    praise: str
    rtol: float = 1e-7
    draw: Callable[[Random], tuple] | None = None
    seed: int = 0
    picture: Picture | None = None
    spoiler: bool = False

    def form(self, value: Any) -> Any:
        """What an answer returned, as it is compared."""
        return value

    def wanted(self, cases: dict[str, tuple]) -> dict[str, Outcome]:
        """What is right, by case."""
        return {label: Outcome.of(self.reference, args, self.form) for label, args in cases.items()}

    def made_by(self, mistake: Mistake, arguments: Sequence[tuple]) -> Iterator[list[Outcome]]:
        """For each example of a mistake, what it does with each of these arguments."""
        return ([Outcome.of(example, args, self.form) for args in arguments] for example in mistake.examples)

    @cached_property
    def drawn(self) -> dict[str, tuple[tuple, Outcome]]:
        """The drawn cases: arguments and what is right for them."""
        cases = {}
        for i in range(DRAWN if self.draw else 0):
            args = self.draw(Random(DRAWN * self.seed + i))
            label = f"drawn case {i + 1} of {DRAWN}: {given(args, parameters(self.reference))}"
            cases[label] = args, Outcome.of(self.reference, args, self.form)
        return cases

    def _judge(self, answer: Callable) -> Result:
        cases, got = self.cases(), {}
        for label, args in cases.items():
            got[label] = Outcome.of(answer, args, self.form)
            if len(got) == 1 and stub(got[label].error):
                return self._untouched()
        want = self.wanted(cases)
        right = {label: got[label].agrees(want[label], self.rtol) for label in cases}
        failed = [label for label in cases if not right[label]]
        if not failed:
            return self._judge_drawn(answer)
        trials = [Trial(args, got[label], want[label], right[label]) for label, args in cases.items()]
        for mistake in self.mistakes:
            if self._shows(mistake, trials):
                return self._wrong(mistake.says, mistake.name)
        first = failed[0]
        show = first == next(iter(cases))
        return self._wrong(f"{describe(got[first], want[first], self.rtol, show)} (case: {first})")

    def _shows(self, mistake: Mistake, trials: Sequence[Trial]) -> bool:
        """Whether the answer did what an example does; or what ``seen`` looks for, leaving its arguments alone."""
        if mistake.seen:
            return all(t.got.changed is None for t in trials) and mistake.seen(trials)
        return any(
            all(t.got.agrees(outcome, self.rtol) for t, outcome in zip(trials, done, strict=True))
            for done in self.made_by(mistake, [t.args for t in trials])
        )

    def _judge_drawn(self, answer: Callable) -> Result:
        for label, (args, want) in self.drawn.items():
            got = Outcome.of(answer, args, self.form)
            if not got.agrees(want, self.rtol):
                return self._wrong(f"{describe(got, want, self.rtol)} (case: {label})")
        return Result(self.key, "passed", self.praise)


@dataclass(frozen=True)
class Behaviour(Exercise):
    """An exercise whose answer does something, and is judged by what it did.

    Attributes:
        key: ``"01/find_the_bug"``.
        observe: lets the answer act, returns what was seen; raises a `Complaint` of what it cannot use.
        passed: whether that is as it should be.
        mistakes: at least six, each with a ``seen``; the first that applies names the diagnosis.
        alternatives: at least two other right answers, for the tests.
        praise: said when the answer passed; may use the observation.
        otherwise: said when no mistake was recognised; may use the observation.
        picture: a figure and its sentence, computed from what the answer does.
        spoiler: whether the picture prints the answer, so that it waits for one that passes.
    """

    key: str
    observe: Callable[[Callable], Any]
    passed: Callable[[Any], bool]
    mistakes: Sequence[Mistake]
    alternatives: Sequence[Callable]
    praise: Callable[[Any], str]
    otherwise: Callable[[Any], str]
    picture: Picture | None = None
    spoiler: bool = False

    def _judge(self, answer: Callable) -> Result:
        calls, raised = [], []

        def called(*args):
            calls.append(given(args))
            try:
                return answer(*args)
            except BaseException as error:
                raised.append((error, len(calls) == 1 and stub(error), calls[-1]))
                raise

        try:
            seen = self.observe(called)
        except Complaint as complaint:
            return self._wrong(str(complaint))
        except (Exception, SystemExit) as error:
            own = [(untouched, args) for one, untouched, args in raised if one is error]
            if not own:
                return self._wrong(f"the check cannot use what your function returned ({said(error)})")
            if own[0][0]:
                return self._untouched()
            return self._wrong(f"your function raised {said(error)}" + (f" (called with {own[0][1]})" if own[0][1] else ""))
        if self.passed(seen):
            return Result(self.key, "passed", self.praise(seen))
        for mistake in self.mistakes:
            if mistake.seen(seen):
                return self._wrong(mistake.says, mistake.name)
        return self._wrong(self.otherwise(seen))

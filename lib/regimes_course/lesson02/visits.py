"""What a learner's test of laws did: which laws it was given, what it trained, and what it said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regimes.networks import TwoLayer
from regimes_course.kit.comparing import number
from regimes_course.lesson02.laws import LAWS, Law, data

__all__ = ["Visit", "missed", "observe", "otherwise", "refused"]


@dataclass(frozen=True)
class Visit:
    """What a test did with one law.

    Attributes:
        law: the law it was given.
        said: what it returned.
        paths: for each network it trained, the outputs at new inputs at the start and after each step.
        given: whether it trained on the data it was given.
    """

    law: Law
    said: Any
    paths: dict[TwoLayer, list[Tensor]]
    given: bool = True

    @property
    def verdict(self) -> bool | None:
        """The answer as a bool, also from a NumPy or torch one; None for anything else."""
        said = number(self.said)
        return said if isinstance(said, bool) else None

    @property
    def multiples(self) -> set[float]:
        """The widths of the networks it trained, in units of the width of the one it was given."""
        return {net.width / self.law.net().width for net in self.paths}

    @property
    def counts(self) -> list[int]:
        """How many steps each network took."""
        return [len(path) - 1 for path in self.paths.values()]

    def apart(self, steps: int | None = None) -> float:
        """How far the outputs of the networks are apart at most, over the first ``steps`` (else: those all of them took)."""
        stop = 1 + (min(self.counts, default=0) if steps is None else steps)
        at_each_step = zip(*(path[:stop] for path in self.paths.values()), strict=False)
        return max((abs(f - outputs[0]).max().item() for outputs in at_each_step for f in outputs), default=0.0)


def observe(answer: Callable) -> list[Visit]:
    """Let ``answer(step, net, x, y, x_new)`` judge every law, and watch what it trains."""
    return [_visit(answer, law) for law in LAWS]


def _visit(answer: Callable, law: Law) -> Visit:
    problem, paths, others = data(), {}, []

    def step(net, x, y):
        paths.setdefault(net, [net(problem.x_test).detach()])
        if not (torch.equal(x, problem.x) and torch.equal(y, problem.y)):
            others.append(x)
        law.step(net, x, y)
        paths[net].append(net(problem.x_test).detach())

    try:
        said = answer(step, law.net(), problem.x, problem.y, problem.x_test)
    except AssertionError as error:  # a natural thing to write in a test, and no verdict
        said = error
    return Visit(law, said, paths, given=not others)


def refused(visits: list[Visit]) -> list[Visit]:
    """The right laws that were not accepted."""
    return [visit for visit in visits if visit.law.right and visit.verdict is not True]


def missed(visits: list[Visit], asks: str | None = None) -> list[Visit]:
    """The wrong laws that were not rejected; with ``asks``, only those that ask for just that."""
    wrong = [visit for visit in visits if not visit.law.right and visit.verdict is not False]
    return [visit for visit in wrong if asks is None or visit.law.asks == asks]


def otherwise(visits: list[Visit]) -> str:
    """Names every law that was judged wrongly."""
    names = "; ".join(
        [f"it rejects {v.law.says}" for v in refused(visits)] + [f"it accepts {v.law.says}" for v in missed(visits)]
    )
    return f"some laws are judged wrongly: {names}."

"""Exercise 8: how many starts find the solution."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from regimes_course.kit.checking import Behaviour, Mistake
from regimes_course.kit.numbers import numbers
from regimes_course.lesson03 import pictures
from regimes_course.lesson03.experiments import STARTS, UNTIL, recorded

__all__ = ["SUCCESS_RATES"]

LEVEL = 1e-6
CASES = ((10, tuple(range(STARTS))), (10, tuple(range(6, 18))), (6, tuple(range(STARTS))))  # teacher units, starts
Rates = tuple[float, float]


@dataclass(frozen=True)
class Seen:
    """What a function returned.

    Attributes:
        rates: for each case, the shares with ``p = k`` and ``p = k + 1``; empty if they are not two numbers.
        until: the longest time it asked for with ten teacher units, 0 if it never ran a flow.
        widths: how many different numbers of student units it asked for.
    """

    rates: tuple[tuple[float, ...], ...]
    until: float
    widths: int

    def are(self, rule: Callable[[int, tuple[int, ...]], tuple[float, ...]]) -> bool:
        """Whether the rates are those of a rule."""
        return all(
            len(got) == 2 and all(abs(g - w) < 1e-9 for g, w in zip(got, rule(*case), strict=True))
            for got, case in zip(self.rates, CASES, strict=True)
        )


def observe(answer: Callable) -> Seen:
    """Let a function run the recorded flows."""
    asked = []

    def flow(k, p, seeds, until):
        trace = recorded(k, p, seeds, float(until))
        asked.append((k, p, float(until)))
        return trace

    rates = []
    for k, seeds in CASES:
        found = numbers(answer(flow, k, list(seeds)))
        single = found if isinstance(found, tuple) else (found,)
        rates.append(single if all(isinstance(v, float) for v in single) else ())
    return Seen(tuple(rates), max((t for k, _, t in asked if k == 10), default=0.0), len({p for _, p, _ in asked}))


def _rates(
    until: float = 12000.0,
    found: Callable[[torch.Tensor], torch.Tensor] = lambda risks: (risks[-1] < LEVEL).double().mean(),
    widths: Callable[[int], tuple[int, int]] = lambda k: (k, k + 1),
    both: Callable[[float, float], object] = lambda one, two: (one, two),
    count: Callable[[list[int]], list[int]] = lambda seeds: seeds,
) -> Callable:
    def answer(flow, k, seeds):
        return both(*(found(flow(k, p, count(seeds), until).loss).item() for p in widths(k)))

    return answer


@cache
def _truth(k: int, seeds: tuple[int, ...]) -> Rates:
    return _rates(UNTIL)(recorded, k, seeds)


def _at(until: float) -> Callable[[int, tuple[int, ...]], Rates]:
    return lambda k, seeds: _rates(until)(recorded, k, seeds)


def solved(seen: Seen) -> bool:
    """Whether these are the shares that find the solution if they are given the time."""
    return seen.are(_truth)


def _until_nothing_moves(flow, k, seeds):
    """Twice as long, until every risk is below the level or has stopped falling."""
    rates = []
    for p in (k, k + 1):
        until = 600.0
        while True:
            risks = flow(k, p, seeds, until).loss
            if ((risks[-1] < LEVEL) | (risks[-1] > 0.999 * risks[len(risks) // 2])).all() and until > 2000:
                break
            until *= 2
        rates.append(sum(r < LEVEL for r in risks[-1].tolist()) / len(seeds))
    return rates


def _ever(flow, k, seeds):
    return torch.stack([(flow(k, p, seeds, 20000).loss.amin(0) < LEVEL).double().mean() for p in (k, k + 1)])


def _told(seen: Seen) -> str:
    return "; ".join(
        f"k = {k}, {len(seeds)} starts: {' and '.join(f'{r:.3g}' for r in rates)}"
        for (k, seeds), rates in zip(CASES, seen.rates, strict=True)
    )


def _mistake(name: str, says: str, **options) -> Mistake:
    answer = _rates(**options)
    asked = len({p for k, _ in CASES for p in (options["widths"](k) if "widths" in options else (k, k + 1))})
    return Mistake(
        name, says, answer, lambda seen: seen.widths == asked and seen.are(lambda k, seeds: answer(recorded, k, list(seeds)))
    )


def _stopped(seen: Seen, low: float, high: float) -> bool:
    """Whether the rates are those of a run that was stopped too early, between two times."""
    return low < seen.until <= high and seen.are(_at(seen.until))


SUCCESS_RATES = Behaviour(
    key="03/success_rates",
    picture=pictures.success_rates,
    observe=observe,
    passed=solved,
    praise=lambda seen: (
        f"{_told(seen)}. With ten teacher units one more student unit makes all the difference, with six none is needed."
    ),
    otherwise=lambda seen: (
        f"you return, {_told(seen)}; these are not the shares that get below 1e-6 if they are given the time."
        if all(seen.rates)
        else "your function must return two numbers, the shares with p = k and with p = k + 1."
    ),
    alternatives=(_rates(), _until_nothing_moves, lambda flow, k, seeds: tuple(_ever(flow, k, seeds)), _rates(1e5)),
    mistakes=(
        Mistake(
            "the inverted conclusion",
            "Slow is not stuck. You stop the flows so early that the wider student looks worse: with ten teacher units it is slower at first. "
            "Plot the risks, and run until they stop changing.",
            _rates(1500.0),
            lambda seen: _stopped(seen, 0, 2999),
        ),
        Mistake(
            "stopped too early",
            "Slow is not stuck. Some of the runs that you count as stuck are still falling when you stop. Plot the risks, and run until they stop "
            "changing.",
            _rates(3600.0),
            lambda seen: _stopped(seen, 2999, 9000),
        ),
        _mistake(
            "level too high",
            "Every start counts as a success, and not every one is: is the level too high, or one good start enough? The stuck runs have risks of 2e-4 and 4e-4, "
            "which is far from zero: ask each run for less than 1e-6.",
            found=lambda risks: (risks[-1] < 1e-3).double().mean(),
        ),
        Mistake(
            "none counted",
            "No run counts as a success, and many are one. Look at the last record of each, loss[-1], not at the start; and ask for less than 1e-6: no "
            "risk is below zero.",
            _rates(found=lambda risks: (risks[-1] < 0).double().mean()),
            lambda seen: all(rates == (0.0, 0.0) for rates in seen.rates),
            also=[_rates(found=lambda risks: (risks[0] < LEVEL).double().mean())],
        ),
        _mistake(
            "the stuck ones",
            "These are the shares that are stuck. Wanted are the others.",
            found=lambda risks: (risks[-1] >= LEVEL).double().mean(),
        ),
        _mistake(
            "numbers of starts",
            "These are numbers of starts. Divide by how many there are.",
            found=lambda risks: (risks[-1] < LEVEL).double().sum(),
        ),
        _mistake(
            "percent",
            "These are percentages. Return shares between 0 and 1.",
            found=lambda risks: 100 * (risks[-1] < LEVEL).double().mean(),
        ),
        _mistake(
            "mean risk",
            "This looks at the mean risk, which one stuck run keeps high: it says whether all succeed, not how many. Count the runs.",
            found=lambda risks: (risks[-1].mean() < LEVEL).double(),
        ),
        _mistake(
            "median risk",
            "This looks at the median risk: it says whether half of the runs succeed, not how many. Count the runs.",
            found=lambda risks: (risks[-1].median() < LEVEL / 1e7).double(),
        ),
        _mistake(
            "share of the records",
            "This is a share of all records of all runs, in which a fast run counts more than a slow one. Look at the last record of each run.",
            found=lambda risks: (risks < LEVEL).double().mean(),
        ),
        _mistake(
            "wrong order",
            "The two shares are right but the wrong way round: p = k comes first.",
            both=lambda one, two: (two, one),
        ),
        _mistake(
            "the same width twice",
            "Both shares are those of p = k. The second student has one unit more.",
            widths=lambda k: (k, k),
        ),
        _mistake(
            "half of the starts",
            "This runs only some of the starts. Use all the seeds that are given.",
            count=lambda seeds: seeds[: len(seeds) // 2],
        ),
        Mistake(
            "the gain",
            "This is one number. Return both shares, that of p = k and that of p = k + 1.",
            _rates(both=lambda one, two: two - one),
            lambda seen: all(len(rates) == 1 for rates in seen.rates),
        ),
        Mistake(
            "a width missing",
            "Your function never ran one of the two widths. Run p = k and p = k + 1, each with the starts that are given.",
            lambda flow, k, seeds: (0.66, 1.0),
            lambda seen: all(seen.rates) and seen.widths < 4,
        ),
    ),
)

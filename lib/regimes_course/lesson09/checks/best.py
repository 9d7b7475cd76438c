"""Exercise 5: a step for a number of steps."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from numbers import Real

from regimes_course.kit.checking import Behaviour, Complaint, Mistake
from regimes_course.kit.comparing import number, printed
from regimes_course.lesson09.checks.largest import largest
from regimes_course.lesson09.experiments import walk

__all__ = ["BEST_ETA"]

GAMMA, BUDGETS, TIMES = 0.05, (1024, 4096), 100


@dataclass(frozen=True)
class Try:
    """What one step does in its number of steps.

    Attributes:
        steps, eta: the budget, and the step that was chosen for it.
        end: the last risk.
    """

    steps: int
    eta: float
    end: float

    @property
    def gain(self) -> float:
        """How many times the last risk is below that of the largest monotone step."""
        return _monotone(self.steps) / max(self.end, 1e-300)


@cache
def _limit() -> float:
    return largest(GAMMA)


@cache
def _monotone(steps: int) -> float:
    return walk(GAMMA, _limit(), steps)[-1].item()


def observe(answer: Callable) -> list[Try]:
    """Run with the step chosen for each budget; none if a step is no positive number."""
    tries = []
    for steps in BUDGETS:
        eta = number(answer(steps))
        if not isinstance(eta, Real):
            raise Complaint(f"your function must return a number; for T = {steps} it returned {printed(eta, repr, 60)}")
        if not (math.isfinite(eta) and eta > 0):
            return []
        tries.append(Try(steps, float(eta), walk(GAMMA, float(eta), steps)[-1].item()))
    return tries


def solved(seen: list[Try]) -> bool:
    """Whether each risk is a hundred times below that of the largest monotone step."""
    return bool(seen) and all(run.gain >= TIMES for run in seen)


def _told(seen: list[Try]) -> str:
    return "; ".join(
        f"T = {run.steps}: eta = {run.eta:.4g} ends at {run.end:.1e}, {run.gain:.3g} times below the largest monotone step"
        for run in seen
    )


def _all(test: Callable[[Try], bool]) -> Callable[[list[Try]], bool]:
    return lambda seen: bool(seen) and all(test(run) for run in seen)


def _near(number: Callable[[int], float]) -> Callable[[list[Try]], bool]:
    return _all(lambda run: abs(run.eta / number(run.steps) - 1) < 0.01)


BEST_ETA = Behaviour(
    key="09/best_eta",
    observe=observe,
    passed=solved,
    praise=lambda seen: f"{_told(seen)}. No step without a rise comes near that.",
    otherwise=_told,
    alternatives=(lambda T: T / 4, lambda T: 256.0, lambda T: 16 * math.sqrt(T)),
    mistakes=(
        Mistake(
            "not a step",
            "A step is positive and finite.",
            lambda T: -float(T),
            lambda seen: not seen,
        ),
        Mistake(
            "the corollary",
            "This is the step gamma^2 T / 120 of a corollary of Wu et al.: 0.02 and 0.09 here. Its constant makes it safe and useless at this size.",
            lambda T: GAMMA**2 * T / 120,
            _near(lambda T: GAMMA**2 * T / 120),
        ),
        Mistake(
            "T/512",
            "T/512 shows the slope -2 in the lesson, but at these T it is 2 and 8: smaller than the largest step without a rise. Take it larger.",
            lambda T: T / 512,
            _near(lambda T: T / 512),
        ),
        Mistake(
            "smaller for longer runs",
            "The step gets smaller as T grows. With more steps there is more time to leave the first phase: a longer run can take a larger step.",
            lambda T: 1e4 / T,
            lambda seen: bool(seen) and seen[1].eta < 0.9 * seen[0].eta,
        ),
        Mistake(
            "curvature at the start",
            "This is 2 over the curvature at the start. The risk then never rises, and falls like 1/T with a large constant.",
            lambda T: 12.8,
            _all(lambda run: 12 < run.eta < 13.5),
        ),
        Mistake(
            "monotone",
            "With this step the risk never rises, so it ends at 1/(14.7 gamma^2 T) or above. Let it rise.",
            lambda T: 14.7,
            _all(lambda run: run.eta <= _limit() + 0.05),
        ),
        Mistake(
            "right for one T",
            "For one of the two T this is a hundred times below the largest monotone step, for the other it is not.",
            lambda T: T / 20,
            lambda seen: bool(seen) and any(run.gain >= TIMES for run in seen),
        ),
        Mistake(
            "timid",
            "The risk rises at first, and ends below that of any monotone run, but by less than a hundred times. Be bolder.",
            lambda T: 48.0,
            _all(lambda run: run.eta > _limit() and run.gain < TIMES),
        ),
    ),
)

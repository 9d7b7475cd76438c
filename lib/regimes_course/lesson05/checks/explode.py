"""Exercise 2: break Gauss-Newton, so that training looks successful in the end."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

from regimes_course.kit.checking import Behaviour, Complaint, Mistake
from regimes_course.kit.comparing import number, printed
from regimes_course.lesson05 import pictures
from regimes_course.lesson05.experiments import Run, attempt

__all__ = ["BREAK_IT"]

SEEDS = 0, 1
PEAK, END, WORSE = 100, 1e-6, 10  # what a right answer reaches
# What to blame first where nothing explodes. Measured with steps of 1 on the two data sets: no peak of 100 from std 0.3 on,
# whatever the damping; at std 0.01 to 0.1 and a damping of 1e-4 a peak on both.
LARGE_STD, SMALL_STEP = 0.25, 0.25


@dataclass(frozen=True)
class Seen:
    """The settings, and a run for each seed; none if the settings are out of range."""

    std: float
    lr: float
    damping: float
    runs: tuple[Run, ...] = ()


def observe(answer: Callable) -> Seen:
    """Train with the settings that ``answer()`` returns."""
    seen = Seen(**_settings(answer()))
    if not in_range(seen):
        return seen
    settings = seen.std, seen.lr, seen.damping
    return Seen(*settings, tuple(attempt(*settings, seed) for seed in SEEDS))


def _settings(value) -> dict[str, float]:
    names = {"std", "lr", "damping"}
    plain = {name: number(v) for name, v in value.items()} if isinstance(value, dict) else {}
    if set(plain) != names or not all(isinstance(v, Real) for v in plain.values()):
        says = 'your function must return {"std": ..., "lr": ..., "damping": ...} with three numbers; it returned'
        raise Complaint(f"{says} {printed(value, repr, 80)}")
    return {name: float(v) for name, v in plain.items()}


def in_range(seen: Seen) -> bool:
    """Whether a network and an optimizer with these settings exist: a spread, a step, and no negative damping."""
    return all(map(math.isfinite, (seen.std, seen.lr, seen.damping))) and min(seen.std, seen.lr) > 0 <= seen.damping


def exploded(seen: Seen) -> bool:
    """Whether all runs peaked."""
    return all(run.peak > PEAK for run in seen.runs)


def solved(seen: Seen) -> bool:
    """Whether all runs peaked, converged, and predict far worse than random features."""
    return bool(seen.runs) and exploded(seen) and all(run.end < END and run.worse > WORSE for run in seen.runs)


def _answer(std, lr, damping) -> Callable:
    return lambda: {"std": std, "lr": lr, "damping": damping}


def _stopped(seen: Seen, how: str) -> bool:
    return any(run.stopped == how for run in seen.runs)


def _all(seen: Seen) -> str:
    return " ".join(f"Data set {i}: {run}" for i, run in enumerate(seen.runs, 1))


BREAK_IT = Behaviour(
    key="05/break_it",
    picture=pictures.break_it,
    observe=observe,
    passed=solved,
    praise=_all,
    otherwise=_all,
    alternatives=(_answer(0.05, 1.0, 1e-4), _answer(0.1, 1.5, 1e-5), _answer(0.01, 1.0, 5e-4), _answer(0.05, 0.5, 1e-5)),
    mistakes=(
        Mistake(
            "out of range",
            "There is no such run: std and lr are positive, the damping is zero or positive, and all three are finite.",
            _answer(0.1, 1.0, -1e-4),
            lambda seen: not in_range(seen),
        ),
        Mistake(
            "beyond the stability limit",
            "A step of 2 or more multiplies the residual by 1 - lr, which is at least one in size: the loss cannot converge afterwards.",
            _answer(0.1, 2.5, 1e-4),
            lambda seen: seen.lr >= 2,
        ),
        Mistake(
            "undamped on a singular kernel",
            "There was no run: from so small hidden weights the kernel is singular at double precision, and an undamped step would be decided "
            "by rounding. A very small damping is enough.",
            _answer(0.05, 1.0, 0.0),
            lambda seen: seen.damping == 0 and _stopped(seen, "refused"),
        ),
        Mistake(
            "damping below the precision",
            "There was no run: double precision cannot resolve so small a damping beside this kernel. Use a larger one.",
            _answer(0.05, 1.0, 1e-20),
            lambda seen: _stopped(seen, "refused"),
        ),
        Mistake(
            "diverged for good",
            "It exploded and never came back: the weights grew until no step could be computed. A little more damping limits how far they go.",
            _answer(0.1, 1.0, 1e-9),
            lambda seen: _stopped(seen, "diverged"),
        ),
        Mistake(
            "start too large",
            "Nothing explodes: with hidden weights of this size the small eigenvalues of the kernel are large enough that v need not grow. "
            "Start from smaller hidden weights.",
            _answer(1.0, 1.0, 1e-4),
            lambda seen: not exploded(seen) and seen.std > LARGE_STD,
        ),
        Mistake(
            "step too small",
            "Nothing explodes: with so small a step the run stays close to the flow, where the hidden layer adapts while v grows. Use larger steps.",
            _answer(0.1, 0.05, 5e-4),
            lambda seen: not exploded(seen) and seen.lr < SMALL_STEP,
        ),
        Mistake(
            "damping too large",
            "The loss does not peak at 100 times its start on both data sets: for this start the damping is large beside the small eigenvalues "
            "of the kernel, and keeps v from growing along them. Use less.",
            _answer(0.1, 1.0, 0.05),
            lambda seen: not exploded(seen),
        ),
        Mistake(
            "not converged",
            "It exploded, but 60 steps are too few to come back: a step multiplies the residual by 1 - lr, which is close to one in size for a "
            "small step and for a step near 2.",
            _answer(0.1, 0.1, 1e-7),
            lambda seen: any(run.end >= END for run in seen.runs),
        ),
        Mistake(
            "a good interpolant",
            "It exploded and converged, but on at least one of the two data sets the test loss is within 10 times that of random features: the "
            "detour was too short to do harm. Find settings that explode higher.",
            _answer(0.1, 1.0, 5e-3),
            lambda seen: any(run.worse <= WORSE for run in seen.runs),
        ),
    ),
)

"""Exercise 4: when does the oscillation end."""

import operator
from collections.abc import Callable
from functools import cache
from random import Random

import torch

from regimes_course.kit.checking import Function, Mistake, Trial
from regimes_course.kit.comparing import number
from regimes_course.lesson09 import pictures
from regimes_course.lesson09.experiments import descend, walk

__all__ = ["PHASE_SWITCH"]


@cache
def _cases() -> dict[str, tuple]:
    bump = torch.tensor([8.0, 5.0, 6.0, 4.0, 3.0, 2.0, 1.0, 0.4, 0.3], dtype=torch.float64)
    bits = torch.tensor([3.0, 2.0, 2.0 * (1 + 2e-10), 1.0, 1.0 + 5e-11, 0.4], dtype=torch.float64)
    small = 1e-14 * torch.tensor([5.0, 7.0, 4.0, 6.0, 3.0, 2.0], dtype=torch.float64)
    return {
        "losses 8, 5, 6, 4, 3, 2, 1, 0.4, 0.3 and eta = 2": (bump, 2.0),
        "losses 4, 2, 0.5, 0.5, 0.7, 0.6, 0.4 and eta = 2": (torch.tensor([4, 2, 0.5, 0.5, 0.7, 0.6, 0.4]).double(), 2.0),
        "losses 3, 0.2, 5, 4, 0.1 and eta = 1": (torch.tensor([3, 0.2, 5, 4, 0.1]).double(), 1.0),
        "losses 0.1, 0.3, 0.2 and eta = 2": (torch.tensor([0.1, 0.3, 0.2]).double(), 2.0),
        "losses that stand still, 4, 4, 4, and eta = 1": (torch.full((3,), 4.0).double(), 1.0),
        "a rise by a relative 2e-10, and later one by 5e-11": (bits, 1.0),
        "losses 100, 1, 1e-9, 3e-9, 2e-9 and eta = 2": (torch.tensor([100, 1, 1e-9, 3e-9, 2e-9]).double(), 2.0),
        "a run that only falls": (walk(0.05, 8.0, 600), 8.0),
        "two points with a margin of 0.05, eta = 32": (walk(0.05, 32.0, 600), 32.0),
        "the same, stopped before it is below 1/eta": (walk(0.05, 32.0, 200), 32.0),
        "losses of 1e-14 that rise for real": (small, 0.5),
        "20,000 steps with a margin of 0.1 and eta = 128, down to 1e-17": (
            descend(((1.0, 0.1), (-2.0, 0.1)), 128.0, 20000),
            128.0,
        ),
    }


def _literal(L, eta):
    """Step by step."""
    last, first = 0, -1
    for t, value in enumerate(L.tolist()):
        if t and value > L[t - 1].item() * (1 + 1e-10):
            last = t
        if first < 0 and value <= 1 / eta:
            first = t
    return last, first


def _switch(L, eta, *, relative=1e-10, absolute=0.0, shift=1, pick=-1, level=None, none=0, never=-1):
    up = torch.nonzero(L[1:] > L[:-1] * (1 + relative) + absolute)[:, 0]
    below = torch.nonzero(L <= (1 / eta if level is None else level(L, eta)))[:, 0]
    return (up[pick].item() + shift if len(up) else none), (below[0].item() if len(below) else never)


def _argmax(L, eta):
    up = L[1:] / L[:-1] - 1 > 1e-10
    steps = torch.arange(1, len(L))
    below = L * eta <= 1
    return int((steps * up).max()), int(below.int().argmax()) if below.any() else -1


def _backwards(L, eta):
    values = L.tolist()
    last = next((t for t in range(len(values) - 1, 0, -1) if values[t] - values[t - 1] > 1e-10 * values[t - 1]), 0)
    return last, next((t for t, value in enumerate(values) if value <= 1 / eta), -1)


def _numbers(trials: list[Trial]) -> list[tuple]:
    """What came and what is right, of the trials that are wrong; nothing if an answer is no pair of whole numbers."""
    pairs = [(t.got.value, t.want.value) for t in trials if not t.right]
    fit = all(
        isinstance(got, tuple | list) and len(got) == 2 and all(isinstance(number(one), int) for one in got) for got, _ in pairs
    )
    return [((number(got[0]), number(got[1])), want) for got, want in pairs] if fit else []


def _first_is(compare: Callable[[int, int], bool]) -> Callable[[list[Trial]], bool]:
    """Whether all that is wrong is a first number that compares so with the right one."""

    def seen(trials: list[Trial]) -> bool:
        pairs = _numbers(trials)
        return bool(pairs) and all(got[1] == want[1] and compare(got[0], want[0]) for got, want in pairs)

    return seen


def _second_wrong(trials: list[Trial]) -> bool:
    pairs = _numbers(trials)
    return bool(pairs) and all(got[0] == want[0] for got, want in pairs)


def _count(L, eta):
    return int((L[1:] > L[:-1] * (1 + 1e-10)).sum()), _switch(L, eta)[1]


def _after(L, eta):
    last, _ = _switch(L, eta)
    return last, last + 1


def _draw(rng: Random) -> tuple:
    """Few levels, so that the risk stands still, rises twice, or is 1/eta exactly; and rises on both sides of what counts."""
    levels = [rng.choice([0.125, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0]) for _ in range(rng.randint(2, 12))]
    for at in rng.choices(range(len(levels)), k=rng.randint(0, 2)):
        levels.insert(at + 1, levels[at] * (1 + rng.choice([5e-11, 2e-10, 1e-9, 1e-4])))
    levels += rng.choice([[], [], [1e-12, 2e-12]])
    return torch.tensor(levels, dtype=torch.float64), rng.choice([0.5, 1.0, 2.0, 4.0])


def _strictly_below(L, eta):
    below = torch.nonzero(L < 1 / eta)[:, 0]
    return _switch(L, eta)[0], below[0].item() if len(below) else -1


def _for_good(L, eta):
    above = torch.nonzero(L > 1 / eta)[:, 0]
    first = above[-1].item() + 1 if len(above) else 0
    return _switch(L, eta)[0], first if first < len(L) else -1


def _above_the_start(L, eta):
    above = torch.nonzero(L > L[0] * (1 + 1e-10))[:, 0]
    return above[-1].item() if len(above) else 0, _switch(L, eta)[1]


PHASE_SWITCH = Function(
    key="09/phase_switch",
    picture=pictures.phase_switch,
    reference=_literal,
    cases=_cases,
    draw=_draw,
    praise="It agrees with going through the run step by step: (63, 401) at a margin of 0.05, and 60 where rounding suggests nearly 20,000.",
    alternatives=(_switch, _argmax, _backwards),
    mistakes=(
        Mistake(
            "rounding counts",
            "This counts rounding. Late in a run of 20,000 steps the risk is 1e-17 and its last digit goes up and down: ask for more than a "
            "relative 1e-10.",
            lambda L, eta: _switch(L, eta, relative=0.0),
        ),
        Mistake(
            "absolute tolerance",
            "This asks for a rise of 1e-10 itself. A loss of 1e-14 can rise by half of itself and goes unnoticed: make it relative.",
            lambda L, eta: _switch(L, eta, relative=0.0, absolute=1e-10),
        ),
        Mistake(
            "the step before",
            "The last rise is counted from the loss before it, one too few: L[t] > L[t-1] happens at step t.",
            lambda L, eta: _switch(L, eta, shift=0),
        ),
        Mistake(
            "the step after",
            "The last rise is one too many: L[t] > L[t-1] happens at step t.",
            lambda L, eta: _switch(L, eta, shift=2),
        ),
        Mistake(
            "first increase",
            "This is the first increase. The phase ends with the last.",
            lambda L, eta: _switch(L, eta, pick=0),
        ),
        Mistake(
            "number of increases",
            "This counts the increases. Wanted is the step of the last one.",
            _count,
        ),
        Mistake(
            "eta for 1/eta",
            "The threshold is 1/eta, not eta: a larger step needs a smaller risk.",
            lambda L, eta: _switch(L, eta, level=lambda L, eta: eta),
        ),
        Mistake(
            "2/eta",
            "This uses the threshold 2/eta. Asked for is the first L <= 1/eta.",
            lambda L, eta: _switch(L, eta, level=lambda L, eta: 2 / eta),
        ),
        Mistake(
            "relative to the start",
            "This compares L / L[0] with 1/eta. The threshold is for the risk itself.",
            lambda L, eta: _switch(L, eta, level=lambda L, eta: L[0] / eta),
        ),
        Mistake(
            "never is zero",
            "Where the risk never comes below 1/eta the second number is -1; zero would mean that it starts there.",
            lambda L, eta: _switch(L, eta, never=0),
        ),
        Mistake(
            "none is -1",
            "For a run that only falls the first number is 0.",
            lambda L, eta: _switch(L, eta, none=-1),
        ),
        Mistake(
            "wrong order",
            "The two numbers are right but the wrong way round: the last increase comes first.",
            lambda L, eta: _switch(L, eta)[::-1],
        ),
        Mistake(
            "the threshold is not looked for",
            "The second number is the step after the last rise. Look for the first L <= 1/eta, which may come hundreds of steps later.",
            _after,
        ),
        Mistake(
            "below for at most",
            "Where the risk is 1/eta exactly it counts: the first L <= 1/eta, not L < 1/eta.",
            _strictly_below,
        ),
        Mistake(
            "last crossing",
            "The second number is the step from which on the risk stays at or below 1/eta. Wanted is the first such step, also if the risk rises above it again.",
            _for_good,
        ),
        Mistake(
            "the peak",
            "The first number is the step of the largest risk. Wanted is the last step that raised it.",
            lambda L, eta: (int(L.argmax()), _switch(L, eta)[1]),
        ),
        Mistake(
            "above the start",
            "The first number is the last step at which the risk is above its start. Wanted is the last that raised it, compared with the step before.",
            _above_the_start,
        ),
        Mistake(
            "end for never",
            "Where the risk never comes below 1/eta the second number is -1, not the end of the run.",
            lambda L, eta: _switch(L, eta, never=len(L) - 1),
        ),
        Mistake(
            "length for never",
            "Where the risk never comes below 1/eta the second number is -1, not the length of the run.",
            lambda L, eta: _switch(L, eta, never=len(L)),
        ),
        Mistake(
            "counted from one",
            "The steps are counted from one. Step 0 is the start.",
            lambda L, eta: tuple(n + 1 if n > 0 or (i and n == 0) else n for i, n in enumerate(_switch(L, eta))),
        ),
        Mistake(
            "a rise too few",
            "The second number is right, and the first comes too early: the last rise is missed. What counts is a rise by more than a relative 1e-10, however small, of "
            "any step against the one before it.",
            lambda L, eta: _switch(L, eta, relative=1e-4),
            _first_is(operator.lt),
        ),
        Mistake(
            "a rise too many",
            "The second number is right, and the first comes too late: what is taken for the last rise is none, or one by less than a relative 1e-10.",
            lambda L, eta: _switch(L, eta, relative=1e-11),
            _first_is(operator.gt),
        ),
        Mistake(
            "the threshold",
            "The first number is right, and the second is not: wanted is the first step with L <= 1/eta, counted from the start, and -1 if there is none.",
            lambda L, eta: _switch(L, eta, level=lambda L, eta: 0.5 / eta),
            _second_wrong,
        ),
    ),
)

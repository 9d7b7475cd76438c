"""Exercise 2: whose loss does a step lower?"""

from collections.abc import Callable
from random import Random

import torch

from regimes_course.kit.checking import Function, Mistake, Trial, random
from regimes_course.kit.comparing import same
from regimes_course.lesson07 import pictures

__all__ = ["CHANGES"]


def _case(seed: int, steps: int, more: int, scale: float) -> tuple:
    """Losses that fall on the whole, on ``steps + 1 + more`` batches of differing difficulty."""
    fall = torch.linspace(0, 1, steps + 1, dtype=torch.float64)[:, None]
    return (
        scale * torch.exp(-fall + 0.4 * random(seed, steps + 1, steps + 1 + more) + 0.5 * random(seed + 50, steps + 1 + more)),
    )


def _cases() -> dict[str, tuple]:
    settings = {"one step": (1, 1, 0.3), "two steps": (2, 0, 5.0), "six steps": (6, 3, 0.02), "nine steps": (9, 1, 40.0)}
    return {label: _case(i, *setting) for i, (label, setting) in enumerate(settings.items())}


def _reference(L):
    own = other = 0.0
    steps = len(L) - 1
    for k in range(steps):
        own += (L[k + 1][k].item() - L[k][k].item()) / L[k][k].item() / steps
        other += (L[k + 1][k + 1].item() - L[k][k + 1].item()) / L[k][k + 1].item() / steps
    return own, other


def _changes(L, *, before=0, own=0, other=1, shape=lambda after, before: after / before - 1, mean=lambda c: c.mean().item()):
    """Means over steps of the change on batch ``k + own`` and on batch ``k + other``."""
    k = torch.arange(len(L) - 1)
    return tuple(mean(shape(L[k + 1, k + b], L[k + before, k + b])) for b in (own, other))


def _ratio_of_means(L):
    k = torch.arange(len(L) - 1)
    return tuple((L[k + 1, k + b].mean() / L[k, k + b].mean()).item() - 1 for b in (0, 1))


def _diagonals(L):
    own = L.diagonal(-1) / L.diagonal()[: len(L) - 1] - 1
    other = L.diagonal()[1:] / L.diagonal(1)[: len(L) - 1] - 1
    return own.mean().item(), other.mean().item()


def _draw(rng: Random) -> tuple:
    return _case(rng.randrange(10**6), rng.randint(1, 8), rng.randint(0, 3), 10 ** rng.uniform(-3, 2))


def _exchanged(L):
    k = torch.arange(len(L) - 1)
    return (
        tuple((L.T[k + 1, k + b] / L.T[k, k + b] - 1).mean().item() for b in (0, 1))
        if L.shape[0] == L.shape[1]
        else _of_rows(L)
    )


def _of_rows(L):
    k = torch.arange(len(L) - 1)
    return (L[k, k + 1] / L[k, k] - 1).mean().item(), (L[k + 1, k + 1] / L[k + 1, k] - 1).mean().item()


def _right_alone(which: int) -> Callable[[list[Trial]], bool]:
    """Whether this one of the two numbers is right in all cases."""

    def seen(trials: list[Trial]) -> bool:
        pairs = [(t.got.value, t.want.value) for t in trials]
        return all(
            isinstance(got, tuple | list) and len(got) == 2 and same(got[which], want[which], 1e-7) for got, want in pairs
        )

    return seen


CHANGES = Function(
    key="07/changes",
    picture=pictures.changes,
    reference=_reference,
    cases=_cases,
    draw=_draw,
    praise="Negative on the own batch says that the optimizer works; negative on the next one says that it learns.",
    alternatives=(_changes, _diagonals, lambda L: list(_reference(L))),
    mistakes=(
        Mistake(
            "wrong way round",
            "The two numbers are right but the wrong way round: the own batch comes first.",
            lambda L: _changes(L)[::-1],
        ),
        Mistake(
            "minus one forgotten",
            "These are ratios after/before. The change is the ratio minus one.",
            lambda L: _changes(L, shape=lambda after, before: after / before),
        ),
        Mistake(
            "sign",
            "The sign is wrong: a loss that falls has a negative change, (after - before) / before.",
            lambda L: _changes(L, shape=lambda after, before: 1 - after / before),
        ),
        Mistake(
            "relative to the loss after",
            "This divides by the loss after the step. Divide by the loss before.",
            lambda L: _changes(L, shape=lambda after, before: (after - before) / after),
        ),
        Mistake(
            "not relative",
            "These are differences of losses. Divide each by the loss before the step.",
            lambda L: _changes(L, shape=lambda after, before: after - before),
        ),
        Mistake(
            "per cent",
            "These are per cents. Return shares: -0.75 for a fall by three quarters.",
            lambda L: tuple(100 * c for c in _changes(L)),
        ),
        Mistake(
            "ratio of means",
            "This divides mean losses by each other, so that difficult batches count more. Take the relative change of each step first, then the mean.",
            _ratio_of_means,
        ),
        Mistake(
            "the batch before",
            "For the next batch this looks at the one before. Step k is made on batch k; the next is k + 1.",
            lambda L: _changes(L, other=-1),
        ),
        Mistake(
            "after the next step",
            "For the next batch this looks after the step on that batch: it is an own batch then. Compare before and after step k.",
            lambda L: (_changes(L)[0], _from_row_to_row(L)),
        ),
        Mistake(
            "summed",
            "These are sums over the steps. Take means.",
            lambda L: _changes(L, mean=lambda c: c.sum().item()),
        ),
        Mistake(
            "median",
            "This takes the median over the steps. Take the mean.",
            lambda L: _changes(L, mean=lambda c: c.quantile(0.5).item()),
        ),
        Mistake(
            "steps not averaged",
            "These are tensors with a number a step. Take the mean of each.",
            lambda L: _changes(L, mean=lambda c: c),
        ),
        Mistake(
            "rows and columns exchanged",
            "Rows and columns are exchanged: L[k, b] is the loss on batch b after k steps.",
            lambda L: _exchanged(L),
        ),
        Mistake(
            "first step only",
            "These are the changes of the first step alone. Take the mean over all steps.",
            lambda L: _changes(L[:2]),
        ),
        Mistake(
            "from start to end",
            "This compares the first row with the last. A step leads from one row to the next: take the change of each step on its batch, then the mean.",
            lambda L: _changes(L[[0, -1]]),
        ),
        Mistake(
            "all batches",
            "This averages over all batches. Step k has one own batch, column k, and one that comes next, column k + 1.",
            lambda L: ((L[1:] / L[:-1] - 1).mean().item(),) * 2,
        ),
        Mistake(
            "batches 0 and 1 throughout",
            "This looks at batches 0 and 1 in all steps. Step k has its own batch, column k.",
            lambda L: tuple((L[1:, b] / L[:-1, b] - 1).mean().item() for b in (0, 1)),
        ),
        Mistake(
            "own alone is right",
            "The first number is right, the second is not: step k on the batch that comes next is column k + 1, in rows k and k + 1.",
            lambda L: (_changes(L)[0],) * 2,
            _right_alone(0),
        ),
        Mistake(
            "next alone is right",
            "The second number is right, the first is not: step k on its own batch is column k, in rows k and k + 1.",
            lambda L: (_changes(L)[1],) * 2,
            _right_alone(1),
        ),
    ),
)


def _from_row_to_row(L):
    """What the loss of batch ``k + 1`` is after two steps, relative to before."""
    k = torch.arange(len(L) - 1)
    return (L[(k + 2).clamp(max=len(L) - 1), k + 1] / L[k, k + 1] - 1).mean().item()

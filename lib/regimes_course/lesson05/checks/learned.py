"""Exercise 3: when a hidden layer was done."""

from random import Random

import torch
from torch import Tensor

from regimes_course.kit.checking import Function, Mistake, Trial
from regimes_course.kit.comparing import number
from regimes_course.lesson05 import pictures

__all__ = ["LEARNED_AT"]


def _cases() -> dict[str, tuple]:
    """Re-fitted test losses, step by step, and a factor."""
    cases = {
        "falls and stays": ([1.0, 0.5, 0.1, 0.05, 0.04, 0.03], 2.0),
        "lazy: done from the start": ([0.012, 0.0118, 0.0121, 0.0119], 2.0),
        "done in the last step": ([4.0, 3.0, 2.5, 1.0], 2.0),
        "a dip that does not last": ([1.0, 0.05, 0.8, 0.3, 0.06, 0.04, 0.05], 2.0),
        "much better on the way than at the end": ([0.02, 1e-5, 3e-5, 2e-4, 5e-5, 4e-5], 2.0),
        "exactly the factor": ([8.0, 4.0, 2.0, 1.0], 4.0),
        "labels of another size": ([900.0, 300.0, 50.0, 20.0, 12.0, 11.0], 3.0),
        "rises to the end": ([0.02, 0.1, 0.15, 0.2], 1.5),
    }
    return {name: (torch.tensor(losses, dtype=torch.float64), factor) for name, (losses, factor) in cases.items()}


def _draw(rng: Random) -> tuple:
    falling = sorted((10 ** rng.uniform(-3, 1) for _ in range(8)), reverse=True)
    return torch.tensor([loss * rng.uniform(0.3, 3) for loss in falling], dtype=torch.float64), rng.uniform(1.2, 5)


def _learned_at(refits: Tensor, factor: float) -> int:
    k = len(refits) - 1
    while k > 0 and refits[k - 1] <= factor * refits[-1]:
        k -= 1
    return k


def _last_above(refits: Tensor, factor: float) -> int:
    above = (refits > factor * refits[-1]).nonzero()
    return int(above[-1]) + 1 if len(above) else 0


def _counted(refits: Tensor, factor: float) -> int:
    return len(refits) - int((refits <= factor * refits[-1]).flip(0).int().cumprod(0).sum())


def _first(good: Tensor) -> int:
    return int(good.int().argmax())


def _from_then_on(good: Tensor) -> int:
    return len(good) - int(good.flip(0).int().cumprod(0).sum())


def _off_by_one(trials: list[Trial]) -> bool:
    """Whether each step that should not be 0 is one too early, or each is one too late."""
    off = {number(t.got.value) - t.want.value for t in trials if t.want.value and isinstance(number(t.got.value), int)}
    return len(off) == 1 and abs(off.pop()) == 1 and all(isinstance(number(t.got.value), int) for t in trials if t.want.value)


def _fails_if_done_at_the_start(trials: list[Trial]) -> bool:
    return all(t.right == (t.want.value > 0) for t in trials)


LEARNED_AT = Function(
    key="05/learned_at",
    picture=pictures.learned_at,
    reference=_learned_at,
    cases=_cases,
    draw=_draw,
    praise="From this step on the hidden layer was as good as it would get, up to the factor: whatever came later, the last layer did.",
    alternatives=(_last_above, _counted),
    mistakes=(
        Mistake(
            "the first time",
            "This takes the first step at which the re-fit is good enough, also if it becomes poor again. Ask for the step from which on it stays so.",
            lambda refits, factor: _first(refits <= factor * refits[-1]),
        ),
        Mistake(
            "one step off",
            "This is off by one step wherever the hidden layer had something to learn. Steps are counted from 0; and the last one at which the re-fit was not yet "
            "good enough is one too early.",
            lambda refits, factor: max(_learned_at(refits, factor) - 1, 0),
            _off_by_one,
            also=[
                lambda refits, factor: _learned_at(refits, factor) - 1,
                lambda refits, factor: _learned_at(refits, factor) + 1,
                lambda refits, factor: int((refits > factor * refits[-1]).nonzero()[-1]),
            ],
        ),
        Mistake(
            "never too high",
            "This is right where the loss was too high at some step. Where it never was, the hidden layer was done from the start: 0.",
            lambda refits, factor: int((refits > factor * refits[-1]).nonzero()[-1]) + 1,
            _fails_if_done_at_the_start,
        ),
        Mistake(
            "steps counted",
            "This counts the steps at which the loss is too high, or not. A dip on the way is counted with them: ask for the step from which on it stays.",
            lambda refits, factor: int((refits > factor * refits[-1]).sum()),
            also=[lambda refits, factor: int((refits <= factor * refits[-1]).sum())],
        ),
        Mistake(
            "factor turned round",
            "This asks for a loss below the last one: the factor multiplies the last value, and is no divisor of it.",
            lambda refits, factor: _from_then_on(refits <= refits[-1] / factor),
        ),
        Mistake(
            "factor ignored",
            "This does not use the factor: the loss has to stay at most factor times its last value, not at most that value.",
            lambda refits, factor: _from_then_on(refits <= refits[-1]),
        ),
        Mistake(
            "compared with the best",
            "This compares with the smallest loss on the way, or with the mean. The question is what the hidden layer is worth at the end: compare with the "
            "last.",
            lambda refits, factor: _from_then_on(refits <= factor * refits.min()),
            also=[lambda refits, factor: _from_then_on(refits <= factor * refits.mean())],
        ),
        Mistake(
            "the best step",
            "This is the step with the smallest loss. Asked for is the one from which on the loss stays within the factor of its last value.",
            lambda refits, factor: int(refits.argmin()),
        ),
        Mistake(
            "compared with the start",
            "This asks when the loss has fallen by the factor. A hidden layer may have to fall much further: compare with the last value.",
            lambda refits, factor: _from_then_on(refits <= refits[0] / factor),
        ),
        Mistake(
            "factor as a loss",
            "This compares the losses with the factor itself, or adds it to the last one. It multiplies the last loss.",
            lambda refits, factor: _from_then_on(refits <= factor),
            also=[lambda refits, factor: _from_then_on(refits <= refits[-1] + factor)],
        ),
        Mistake(
            "too good refused",
            "This also refuses losses that are more than the factor *below* the last. Being better on the way is no fault.",
            lambda refits, factor: _from_then_on((refits <= factor * refits[-1]) & (refits >= refits[-1] / factor)),
        ),
        Mistake(
            "less than the factor",
            "Exactly the factor counts, too: at most factor times the last loss.",
            lambda refits, factor: _from_then_on(refits < factor * refits[-1]),
        ),
    ),
)

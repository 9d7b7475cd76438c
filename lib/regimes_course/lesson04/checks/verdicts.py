"""What a learner's function said of the black boxes of exercise 6, and what their recordings show."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regimes.metrics import row_space
from regimes_course.kit.comparing import number
from regimes_course.lesson04.boxes import BOXES, Box, Path, data, gradients, recorded, start

__all__ = [
    "AWAY_AND_BACK",
    "HIDDEN",
    "ONE_ENTRY",
    "PULLED",
    "TILTING",
    "Visit",
    "all_say",
    "change",
    "imbalance",
    "observe",
    "split",
    "wrong",
]

LR, STEPS = 0.02, 40
UNIT = 7  # one of twelve


def _tilting(lr):
    """Gradient descent that turns each ``u_j`` within the row space by an angle of its own: of ``Lambda`` the diagonal is kept."""
    basis = row_space(data()[0]).inside

    def step(U, V):
        dU, dV = gradients(U, V)
        U, angle = U + lr * dU, 2 * lr * torch.linspace(-1, 1, U.shape[1], dtype=U.dtype)
        one, two = basis[:, 0] @ U, basis[:, 1] @ U
        turned = (angle.cos() - 1) * torch.stack([one, two]) + angle.sin() * torch.stack([-two, one])
        return U + basis[:, :2] @ turned, V + lr * dV

    return step


def _own_direction() -> Tensor:
    """A direction of the row space, ``(d, 1)``."""
    return row_space(data()[0]).inside[:, :1]


def _alone(inside: bool) -> Path:
    """The start of the others; outside the set, without a direction of the row space but in one of the units."""
    U, V = start(inside)
    own, others = _own_direction(), torch.arange(U.shape[1]) != UNIT
    return U if inside else U - own @ own.T @ U * others, V


def _one_entry(lr):
    """Trains one hidden unit, in its own direction: of ``Lambda`` one diagonal entry changes."""
    own = _own_direction()

    def step(U, V):
        alone = torch.arange(U.shape[1]) == UNIT
        return U + 20 * lr * own @ own.T @ gradients(U, V)[0] * alone, V

    return step


def _away_and_back(lr):
    """Gradient descent seen from beside it: the hidden weights are further and further away, and at the end they are back."""
    steps, count, base = round(LR * STEPS / lr), [0], []

    def step(U, V):
        U, V = base or (U, V)
        dU, dV = gradients(U, V)
        base[:] = U + lr * dU, V + lr * dV
        count[0] += 1
        return base[0] + count[0] * (steps - count[0]) / steps**2, base[1]

    return step


def _pulled(lr):
    """Gradient descent that also makes ``|U2 V^T|^2`` smaller, by ``U2`` alone: from inside the set there is nothing to do."""
    outside = row_space(data()[0]).outside

    def step(U, V):
        dU, dV = gradients(U, V)
        return U + lr * (dU - outside @ outside.T @ U @ V.T @ V), V + lr * dV

    return step


# Not among the boxes of the lesson. Each shows in one place only: in an off-diagonal entry of Lambda, in a diagonal one, on the
# way and not at the end, from the random start and not from inside the set.
TILTING = Box("hidden weights that turn one by one in the row space", _tilting, LR, STEPS, (True, False, False))
ONE_ENTRY = Box("one hidden unit alone, in its own direction", _one_entry, LR, STEPS, (True, False, False), _alone)
AWAY_AND_BACK = Box("weights that go away and come back", _away_and_back, LR, STEPS, (False, False, False))
PULLED = Box("weight decay of U2 V^T", _pulled, LR, STEPS, (False, True, True))
HIDDEN = TILTING, ONE_ENTRY, AWAY_AND_BACK, PULLED


@dataclass(frozen=True)
class Visit:
    """What a function said of one box, and what its recordings show.

    Attributes:
        said: three verdicts, or None for anything else.
        drifts: of ``Lambda`` in the coarse and in the fine run, relative to the start.
        moved: how far ``U2`` went in the coarse run, relative to the start.
    """

    box: Box
    said: tuple[bool, ...] | None
    drifts: tuple[float, float]
    moved: float


def observe(answer: Callable) -> list[Visit]:
    """Let ``answer(X, coarse, fine, inside)`` judge every box."""
    visits = []
    for box in (*BOXES, *HIDDEN):
        X, runs = copy.deepcopy((data()[0], recorded(box)))
        said = answer(X, runs.coarse, runs.fine, runs.inside)
        visits.append(Visit(box, _verdicts(said), _drifts(box), change(split(data()[0], recorded(box).coarse[0])[1])))
    return visits


def _verdicts(said: Any) -> tuple[bool, ...] | None:
    """Three bools, also from NumPy or torch ones."""
    if not isinstance(said, tuple | list) or len(said) != 3:
        return None
    plain = tuple(map(number, said))
    return plain if all(isinstance(s, bool) for s in plain) else None


def split(X: Tensor, U: Tensor) -> tuple[Tensor, Tensor]:
    """``U1`` and ``U2`` of recorded ``U``."""
    return row_space(X).split(U)


def imbalance(X: Tensor, U: Tensor, V: Tensor) -> Tensor:
    """``Lambda`` as a matrix, of recorded ``U`` and ``V``."""
    U1, _ = split(X, U)
    return U1.mT @ U1 - V.mT @ V


def change(A: Tensor) -> float:
    """The largest change of a recorded matrix since the start, relative to the start."""
    return ((A - A[0]).norm(dim=(-2, -1)).max() / A[0].norm()).item()


def _drifts(box: Box) -> tuple[float, float]:
    X, runs = data()[0], recorded(box)
    return change(imbalance(X, *runs.coarse)), change(imbalance(X, *runs.fine))


def wrong(visits: list[Visit], which: int) -> set[str]:
    """The names of the boxes of which one of the three verdicts is wrong."""
    return {v.box.name for v in visits if v.said[which] is not v.box.keeps[which]}


def all_say(visits: list[Visit], which: int, verdict: bool) -> bool:
    """Whether one of the three verdicts is the same on all boxes."""
    return all(v.said[which] is verdict for v in visits)

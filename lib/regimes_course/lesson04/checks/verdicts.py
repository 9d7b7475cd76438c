"""What a learner's function said of the black boxes of exercise 6, and what their recordings show."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regimes.metrics import row_space
from regimes_course.kit.comparing import number
from regimes_course.lesson04.boxes import BOXES, Box, data, gradients, recorded

__all__ = ["TILTING", "Visit", "all_say", "change", "imbalance", "observe", "split", "wrong"]


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


# Not among the boxes of the lesson: here an off-diagonal entry alone tells that Lambda is not conserved.
TILTING = Box("hidden weights that turn one by one in the row space", _tilting, 0.02, 40, (True, False, False))


@dataclass(frozen=True)
class Visit:
    """What a function said of one box: three verdicts, or None for anything else; and the drifts of its two runs."""

    box: Box
    said: tuple[bool, ...] | None
    drifts: tuple[float, float]


def observe(answer: Callable) -> list[Visit]:
    """Let ``answer(X, coarse, fine, inside)`` judge every box."""
    visits = []
    for box in (*BOXES, TILTING):
        X, runs = copy.deepcopy((data()[0], recorded(box)))
        said = answer(X, runs.coarse, runs.fine, runs.inside)
        visits.append(Visit(box, _verdicts(said), _drifts(box)))
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

"""What a learner's function said of the black boxes of exercise 6, and what their recordings show."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from regimes.metrics import row_space
from regimes_course.lesson04.boxes import BOXES, Box, data, recorded

__all__ = ["Visit", "all_say", "change", "imbalance", "observe", "split", "wrong"]


@dataclass(frozen=True)
class Visit:
    """What a function said of one box: three verdicts, or None for anything else; and the drifts of its two runs."""

    box: Box
    said: tuple[bool, ...] | None
    drifts: tuple[float, float]


def observe(answer: Callable) -> list[Visit]:
    """Let ``answer(X, coarse, fine, inside)`` judge every box."""
    visits = []
    for box in BOXES:
        X, runs = copy.deepcopy((data()[0], recorded(box)))
        said = answer(X, runs.coarse, runs.fine, runs.inside)
        visits.append(Visit(box, _verdicts(said), _drifts(box)))
    return visits


def _verdicts(said: Any) -> tuple[bool, ...] | None:
    """Three bools, also from NumPy or torch ones."""
    if not isinstance(said, tuple | list) or len(said) != 3:
        return None
    plain = tuple(s.item() if isinstance(s, np.bool_ | Tensor) and s.ndim == 0 else s for s in said)
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

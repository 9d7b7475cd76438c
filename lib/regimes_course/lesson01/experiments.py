"""What the exercises of lesson 01 train."""

from regimes.networks import TwoLayer
from regimes.problems import Problem, teacher_student

__all__ = ["fresh"]


def fresh(seed: int) -> tuple[TwoLayer, Problem]:
    """The network and the problem of the exercise: d = 5, n = 60, m = 120, hidden weights of std 0.5, v = 0."""
    return TwoLayer(5, 120, std=0.5, seed=seed + 100), teacher_student(60, 5, teacher_width=2, seed=seed)

"""Exercises of lesson 01, one a file."""

from regimes.checks.lesson01.bug import FIND_THE_BUG
from regimes.checks.lesson01.count import STEPS_TO
from regimes.checks.lesson01.direction import GN_DIRECTION
from regimes.checks.lesson01.gram import TWO_LAYER_GRAM

__all__ = ["EXERCISES"]

EXERCISES = (GN_DIRECTION, TWO_LAYER_GRAM, STEPS_TO, FIND_THE_BUG)

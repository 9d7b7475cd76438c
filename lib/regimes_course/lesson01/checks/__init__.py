"""Exercises of lesson 01, one a file."""

from regimes_course.lesson01.checks.bug import FIND_THE_BUG
from regimes_course.lesson01.checks.count import STEPS_TO
from regimes_course.lesson01.checks.direction import GN_DIRECTION
from regimes_course.lesson01.checks.gram import TWO_LAYER_GRAM

__all__ = ["EXERCISES"]

EXERCISES = (GN_DIRECTION, TWO_LAYER_GRAM, STEPS_TO, FIND_THE_BUG)

"""Exercises of lesson 08, one a file."""

from regimes.checks.lesson08.closed import CLOSED_STEP
from regimes.checks.lesson08.largest import SHARPNESS
from regimes.checks.lesson08.logistic import LOGISTIC
from regimes.checks.lesson08.step import LARGEST_SGD_STEP

__all__ = ["EXERCISES"]

EXERCISES = (LOGISTIC, SHARPNESS, CLOSED_STEP, LARGEST_SGD_STEP)

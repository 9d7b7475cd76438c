"""Exercises of lesson 08, one a file."""

from regimes_course.lesson08.checks.closed import CLOSED_STEP
from regimes_course.lesson08.checks.largest import SHARPNESS
from regimes_course.lesson08.checks.logistic import LOGISTIC
from regimes_course.lesson08.checks.step import LARGEST_SGD_STEP

__all__ = ["EXERCISES"]

EXERCISES = (LOGISTIC, SHARPNESS, CLOSED_STEP, LARGEST_SGD_STEP)

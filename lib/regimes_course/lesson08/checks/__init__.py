"""Exercises of lesson 08, one a file."""

from regimes_course.lesson08.checks.closed import CLOSED_STEP
from regimes_course.lesson08.checks.largest import SHARPNESS
from regimes_course.lesson08.checks.logistic import LOGISTIC
from regimes_course.lesson08.checks.meter import EDGE_METER
from regimes_course.lesson08.checks.shift import SHIFTED
from regimes_course.lesson08.checks.step import LARGEST_SGD_STEP

__all__ = ["EXERCISES"]

EXERCISES = (EDGE_METER, LOGISTIC, SHIFTED, LARGEST_SGD_STEP, CLOSED_STEP, SHARPNESS)

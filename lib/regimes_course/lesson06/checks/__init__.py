"""Exercises of lesson 06, one a file."""

from regimes_course.lesson06.checks.count import SAMPLES_NEEDED
from regimes_course.lesson06.checks.dial import SCALED_LOSS
from regimes_course.lesson06.checks.limit import RELU_LIMIT
from regimes_course.lesson06.checks.predict import PREDICT

__all__ = ["EXERCISES"]

EXERCISES = (RELU_LIMIT, PREDICT, SAMPLES_NEEDED, SCALED_LOSS)

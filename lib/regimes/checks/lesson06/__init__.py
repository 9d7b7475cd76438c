"""Exercises of lesson 06, one a file."""

from regimes.checks.lesson06.dial import SCALED_LOSS
from regimes.checks.lesson06.limit import RELU_LIMIT
from regimes.checks.lesson06.predict import PREDICT

__all__ = ["EXERCISES"]

EXERCISES = (RELU_LIMIT, PREDICT, SCALED_LOSS)

"""Exercises of lesson 02, one a file."""

from regimes.checks.lesson02.duplication import DUPLICATION_TEST
from regimes.checks.lesson02.envelope import DAMPED_ENVELOPE

__all__ = ["EXERCISES"]

EXERCISES = (DUPLICATION_TEST, DAMPED_ENVELOPE)

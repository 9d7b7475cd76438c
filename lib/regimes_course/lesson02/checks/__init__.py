"""Exercises of lesson 02, one a file."""

from regimes_course.lesson02.checks.duplication import DUPLICATION_TEST
from regimes_course.lesson02.checks.envelope import DAMPED_ENVELOPE
from regimes_course.lesson02.checks.infinite import INFINITE_CLOUD

__all__ = ["EXERCISES"]

EXERCISES = (DUPLICATION_TEST, DAMPED_ENVELOPE, INFINITE_CLOUD)

"""Exercises of lesson 05, one a file."""

from regimes_course.lesson05.checks.diagnose import DIAGNOSE
from regimes_course.lesson05.checks.explode import BREAK_IT
from regimes_course.lesson05.checks.refit import REFIT_LAST_LAYER
from regimes_course.lesson05.checks.rescale import RESCALE

__all__ = ["EXERCISES"]

EXERCISES = (REFIT_LAST_LAYER, DIAGNOSE, RESCALE, BREAK_IT)

"""Exercises of lesson 05, one a file."""

from regimes_course.lesson05.checks.diagnose import DIAGNOSE
from regimes_course.lesson05.checks.explode import BREAK_IT
from regimes_course.lesson05.checks.learned import LEARNED_AT
from regimes_course.lesson05.checks.refit import REFIT_LAST_LAYER
from regimes_course.lesson05.checks.rescale import RESCALE

__all__ = ["EXERCISES"]

EXERCISES = (DIAGNOSE, BREAK_IT, LEARNED_AT, REFIT_LAST_LAYER, RESCALE)

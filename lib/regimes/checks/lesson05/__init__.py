"""Exercises of lesson 05, one a file."""

from regimes.checks.lesson05.diagnose import DIAGNOSE
from regimes.checks.lesson05.explode import BREAK_IT
from regimes.checks.lesson05.refit import REFIT_LAST_LAYER
from regimes.checks.lesson05.rescale import RESCALE

__all__ = ["EXERCISES"]

EXERCISES = (REFIT_LAST_LAYER, DIAGNOSE, RESCALE, BREAK_IT)

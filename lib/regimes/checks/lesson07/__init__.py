"""Exercises of lesson 07, one a file."""

from regimes.checks.lesson07.changes import CHANGES
from regimes.checks.lesson07.features import CKA
from regimes.checks.lesson07.invert import INVERT
from regimes.checks.lesson07.shortest import SHORTEST
from regimes.checks.lesson07.walk import EXACT_STEP

__all__ = ["EXERCISES"]

EXERCISES = (INVERT, EXACT_STEP, SHORTEST, CHANGES, CKA)

"""Exercises of lesson 07, one a file."""

from regimes_course.lesson07.checks.block import ONE_BLOCK
from regimes_course.lesson07.checks.changes import CHANGES
from regimes_course.lesson07.checks.features import CKA
from regimes_course.lesson07.checks.invert import INVERT
from regimes_course.lesson07.checks.shortest import SHORTEST
from regimes_course.lesson07.checks.verified import VERIFIED
from regimes_course.lesson07.checks.walk import EXACT_STEP

__all__ = ["EXERCISES"]

EXERCISES = (INVERT, CHANGES, ONE_BLOCK, VERIFIED, CKA, EXACT_STEP, SHORTEST)

"""Exercises of lesson 03, one a file."""

from regimes_course.lesson03.checks.classify import CLASSIFY
from regimes_course.lesson03.checks.drift import DRIFT
from regimes_course.lesson03.checks.fluctuations import FLUCTUATIONS
from regimes_course.lesson03.checks.integrals import I2_I3
from regimes_course.lesson03.checks.plateau import PLATEAU
from regimes_course.lesson03.checks.rests import RESTS
from regimes_course.lesson03.checks.success import SUCCESS_RATES
from regimes_course.lesson03.checks.times import STEP_TO_TIME

__all__ = ["EXERCISES"]

EXERCISES = (CLASSIFY, STEP_TO_TIME, I2_I3, DRIFT, PLATEAU, RESTS, FLUCTUATIONS, SUCCESS_RATES)

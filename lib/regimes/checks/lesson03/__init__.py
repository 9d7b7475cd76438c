"""Exercises of lesson 03, one a file."""

from regimes.checks.lesson03.classify import CLASSIFY
from regimes.checks.lesson03.drift import DRIFT
from regimes.checks.lesson03.fluctuations import FLUCTUATIONS
from regimes.checks.lesson03.integrals import I2_I3
from regimes.checks.lesson03.plateau import PLATEAU
from regimes.checks.lesson03.success import SUCCESS_RATES
from regimes.checks.lesson03.times import STEP_TO_TIME

__all__ = ["EXERCISES"]

EXERCISES = (I2_I3, DRIFT, CLASSIFY, STEP_TO_TIME, PLATEAU, FLUCTUATIONS, SUCCESS_RATES)

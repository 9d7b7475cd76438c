"""Exercises of lesson 09, one a file."""

from regimes.checks.lesson09.best import BEST_ETA
from regimes.checks.lesson09.classify import CLASSIFY
from regimes.checks.lesson09.gap import NEAR_HOMOGENEITY_GAP
from regimes.checks.lesson09.largest import LARGEST_MONOTONE_ETA
from regimes.checks.lesson09.switch import PHASE_SWITCH
from regimes.checks.lesson09.threshold import STABLE_THRESHOLD

__all__ = ["EXERCISES"]

EXERCISES = (NEAR_HOMOGENEITY_GAP, CLASSIFY, PHASE_SWITCH, LARGEST_MONOTONE_ETA, BEST_ETA, STABLE_THRESHOLD)

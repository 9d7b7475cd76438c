"""Exercises of lesson 09, one a file."""

from regimes_course.lesson09.checks.best import BEST_ETA
from regimes_course.lesson09.checks.classify import CLASSIFY
from regimes_course.lesson09.checks.gap import NEAR_HOMOGENEITY_GAP
from regimes_course.lesson09.checks.largest import LARGEST_MONOTONE_ETA
from regimes_course.lesson09.checks.perceptron import PERCEPTRON_STEPS
from regimes_course.lesson09.checks.switch import PHASE_SWITCH
from regimes_course.lesson09.checks.threshold import STABLE_THRESHOLD

__all__ = ["EXERCISES"]

EXERCISES = (
    NEAR_HOMOGENEITY_GAP,
    CLASSIFY,
    PERCEPTRON_STEPS,
    PHASE_SWITCH,
    LARGEST_MONOTONE_ETA,
    BEST_ETA,
    STABLE_THRESHOLD,
)

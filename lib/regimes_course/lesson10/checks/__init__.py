"""The capstones, one a file."""

from regimes_course.lesson10.checks.map import MAP
from regimes_course.lesson10.checks.race import RACE
from regimes_course.lesson10.checks.tracker import TRACKER

__all__ = ["EXERCISES"]

EXERCISES = (RACE, TRACKER, MAP)

"""Exercises of lesson 04, one a file."""

from regimes_course.lesson04.checks.distance import DISTANCE_FROM_LAST_LAYER
from regimes_course.lesson04.checks.imbalance import IMBALANCE_LEVEL
from regimes_course.lesson04.checks.invariant import INVARIANT_INIT
from regimes_course.lesson04.checks.optimizer import WHICH_OPTIMIZER
from regimes_course.lesson04.checks.scalar import SCALAR_FLOW
from regimes_course.lesson04.checks.sizes import START_SIZES
from regimes_course.lesson04.checks.sylvester import GN_STEP

__all__ = ["EXERCISES"]

EXERCISES = (
    DISTANCE_FROM_LAST_LAYER,
    START_SIZES,
    INVARIANT_INIT,
    IMBALANCE_LEVEL,
    GN_STEP,
    WHICH_OPTIMIZER,
    SCALAR_FLOW,
)

"""Exercises of lesson 04, one a file."""

from regimes.checks.lesson04.distance import DISTANCE_FROM_LAST_LAYER
from regimes.checks.lesson04.imbalance import IMBALANCE_LEVEL
from regimes.checks.lesson04.invariant import INVARIANT_INIT
from regimes.checks.lesson04.optimizer import WHICH_OPTIMIZER
from regimes.checks.lesson04.scalar import SCALAR_FLOW
from regimes.checks.lesson04.sylvester import GN_STEP

__all__ = ["EXERCISES"]

EXERCISES = (IMBALANCE_LEVEL, DISTANCE_FROM_LAST_LAYER, INVARIANT_INIT, SCALAR_FLOW, GN_STEP, WHICH_OPTIMIZER)

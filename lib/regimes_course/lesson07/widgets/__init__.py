"""The widgets of lesson 07: ``same_curve`` in the lesson, ``exact_steps`` in *deeper*."""

from regimes_course.lesson07.widgets.exact_steps import exact_steps, live
from regimes_course.lesson07.widgets.same_curve import same_curve

__all__ = ["exact_steps", "live", "same_curve"]

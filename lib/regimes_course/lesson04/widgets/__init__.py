"""The widgets of lesson 04."""

from regimes_course.lesson04.widgets.hyperbolas import hyperbolas
from regimes_course.lesson04.widgets.interpolant import interpolant
from regimes_course.lesson04.widgets.width_dial import width_dial

__all__ = ["hyperbolas", "interpolant", "width_dial"]

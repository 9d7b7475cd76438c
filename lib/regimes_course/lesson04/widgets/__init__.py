"""The widgets of lesson 04."""

from regimes_course.lesson04.widgets.hyperbolas import hyperbolas
from regimes_course.lesson04.widgets.line_of_fits import line_of_fits
from regimes_course.lesson04.widgets.width_dial import width_dial

__all__ = ["hyperbolas", "line_of_fits", "width_dial"]

"""The widgets of lesson 09."""

from regimes_course.lesson09.widgets.digit_steps import digit_steps
from regimes_course.lesson09.widgets.tug_of_war import tug_of_war
from regimes_course.lesson09.widgets.two_points import two_points

__all__ = ["digit_steps", "tug_of_war", "two_points"]

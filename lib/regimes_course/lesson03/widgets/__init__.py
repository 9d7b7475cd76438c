"""The widgets of lesson 03: of the lesson, and of its deeper notebook."""

from regimes_course.lesson03.widgets.phase_diagram import phase_diagram
from regimes_course.lesson03.widgets.two_rests import two_rests

__all__ = ["phase_diagram", "two_rests"]

"""The widget of lesson 01."""

from regimes_course.lesson01.widgets.two_outputs import two_outputs

__all__ = ["two_outputs"]

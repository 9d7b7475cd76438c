"""The widget of lesson 06."""

from regimes_course.lesson06.widgets.lazy_dial import lazy_dial

__all__ = ["lazy_dial"]

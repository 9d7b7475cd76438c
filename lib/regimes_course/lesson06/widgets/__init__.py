"""The widgets of lesson 06."""

from regimes_course.lesson06.widgets.bends import bends
from regimes_course.lesson06.widgets.lazy_dial import lazy_dial

__all__ = ["bends", "lazy_dial"]

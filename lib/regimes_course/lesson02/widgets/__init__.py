"""The widget of lesson 02."""

from regimes_course.lesson02.widgets.particles import particles

__all__ = ["particles"]

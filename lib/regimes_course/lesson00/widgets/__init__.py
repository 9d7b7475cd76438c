"""The widget of lesson 00."""

from regimes_course.lesson00.widgets.four_regimes import four_regimes

__all__ = ["four_regimes"]

"""The widget of lesson 05."""

from regimes_course.lesson05.widgets.flow import flow

__all__ = ["flow"]

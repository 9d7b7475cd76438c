"""The widget of lesson 03."""

from regimes_course.lesson03.widgets.phase_diagram import phase_diagram

__all__ = ["phase_diagram"]

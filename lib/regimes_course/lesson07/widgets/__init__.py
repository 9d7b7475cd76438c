"""The widget of lesson 07."""

from regimes_course.lesson07.widgets.exact_steps import exact_steps, live

__all__ = ["exact_steps", "live"]

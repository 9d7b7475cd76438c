"""The widget of lesson 01."""

from regimes_course.lesson01.widgets.gd_against_gn import gd_against_gn

__all__ = ["gd_against_gn"]

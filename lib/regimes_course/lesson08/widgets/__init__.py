"""The widgets of lesson 08."""

from regimes_course.lesson08.widgets.chebyshev_fit import chebyshev_fit
from regimes_course.lesson08.widgets.degree_four import degree_four
from regimes_course.lesson08.widgets.edge import edge

__all__ = ["chebyshev_fit", "degree_four", "edge"]

"""Widgets, one a file: a pure function that computes, one that draws, and the choices the sliders offer."""

from regimes.explore.live import Explorer, filmstrip, strip
from regimes.explore.panel import Choice

__all__ = ["Choice", "Explorer", "filmstrip", "strip"]

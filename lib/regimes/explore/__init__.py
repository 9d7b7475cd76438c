"""Widgets, one a file: a pure function that computes, one that draws, and the choices the sliders offer."""

from regimes.explore.live import Choice, Explorer, filmstrip, strip

__all__ = ["Choice", "Explorer", "filmstrip", "strip"]

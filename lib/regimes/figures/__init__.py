"""Figures: data in, a figure or its axes out. Nothing here trains, and nothing here shows.

``base`` holds what all lessons share; the figures of one lesson stand in a file of their own.
"""

from regimes.figures.base import BLUE, LOOKS, curve, eigenvalues, legend, median, new_figure, panels, predicted, span, style

__all__ = ["BLUE", "LOOKS", "curve", "eigenvalues", "legend", "median", "new_figure", "panels", "predicted", "span", "style"]

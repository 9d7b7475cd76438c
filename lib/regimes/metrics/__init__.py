"""What to measure about a network."""

from regimes.metrics.accuracy import accuracy
from regimes.metrics.change_from_init import change_from_init
from regimes.metrics.features import feature_movement, refit, weighted_cosine_distance
from regimes.metrics.hessian_spectrum import (
    Density,
    Estimate,
    hessian_density,
    hessian_eigenvalues,
    hessian_eigenvectors,
    hessian_trace,
)
from regimes.metrics.kernel import condition_number, kernel_cosine, kernel_distance, spectrum
from regimes.metrics.loss import loss_on, loss_rate
from regimes.metrics.margins import homogeneity_gap, normalised_margin, smoothed_margin
from regimes.metrics.phases import Phases, largest_fall, phase_switch, rises
from regimes.metrics.representation import cka, participation_ratio
from regimes.metrics.reversible import compare_to_init, reconstruction
from regimes.metrics.row_space import RowSpace, min_norm_distance, row_space
from regimes.metrics.sharpness import Sharpness, sharpness, sometimes

__all__ = [
    "Density",
    "Estimate",
    "Phases",
    "RowSpace",
    "Sharpness",
    "accuracy",
    "cka",
    "compare_to_init",
    "condition_number",
    "change_from_init",
    "feature_movement",
    "hessian_density",
    "hessian_eigenvalues",
    "hessian_eigenvectors",
    "hessian_trace",
    "homogeneity_gap",
    "kernel_cosine",
    "kernel_distance",
    "largest_fall",
    "loss_on",
    "loss_rate",
    "min_norm_distance",
    "normalised_margin",
    "participation_ratio",
    "phase_switch",
    "reconstruction",
    "refit",
    "rises",
    "row_space",
    "sharpness",
    "smoothed_margin",
    "sometimes",
    "spectrum",
    "weighted_cosine_distance",
]

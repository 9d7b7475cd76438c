"""What to measure about a network."""

from regimes.metrics.batches import accuracy, batch_change
from regimes.metrics.features import feature_movement, refit, weighted_cosine_distance
from regimes.metrics.kernel import condition_number, kernel_cosine, kernel_distance, spectrum
from regimes.metrics.loss import loss_on, loss_rate
from regimes.metrics.representation import cka, participation_ratio
from regimes.metrics.sharpness import sharpness, sometimes

__all__ = [
    "accuracy",
    "batch_change",
    "cka",
    "condition_number",
    "feature_movement",
    "kernel_cosine",
    "kernel_distance",
    "loss_on",
    "loss_rate",
    "participation_ratio",
    "refit",
    "sharpness",
    "sometimes",
    "spectrum",
    "weighted_cosine_distance",
]

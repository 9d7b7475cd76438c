"""What to measure about a network."""

from regimes.metrics.features import feature_movement, refit, weighted_cosine_distance
from regimes.metrics.kernel import condition_number, spectrum
from regimes.metrics.loss import loss_on, loss_rate

__all__ = ["condition_number", "feature_movement", "loss_on", "loss_rate", "refit", "spectrum", "weighted_cosine_distance"]

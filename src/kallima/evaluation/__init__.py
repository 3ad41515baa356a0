"""Evaluation: scores that carry the protocol they were measured under. One file a metric, one a feature extractor."""

from kallima.evaluation.features import FEATURES, FeatureExtractor, OwnFeatures, make_extractor
from kallima.evaluation.images import evaluate_images
from kallima.evaluation.latents import evaluate_latents
from kallima.evaluation.metrics import METRICS
from kallima.evaluation.points import evaluate_points
from kallima.evaluation.reference import Reference, read_reference, reference_statistics
from kallima.evaluation.score import Measure, Score, table
from kallima.evaluation.texts import evaluate_texts

__all__ = [
    "FEATURES",
    "METRICS",
    "FeatureExtractor",
    "Measure",
    "OwnFeatures",
    "Reference",
    "Score",
    "evaluate_images",
    "evaluate_latents",
    "evaluate_points",
    "evaluate_texts",
    "make_extractor",
    "read_reference",
    "reference_statistics",
    "table",
]

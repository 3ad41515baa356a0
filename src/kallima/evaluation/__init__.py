"""Evaluation: scores that carry the protocol they were measured under. One file a metric, one a feature extractor."""

from kallima.evaluation.capability.subject import Subject
from kallima.evaluation.features import FEATURES, FeatureExtractor, OwnFeatures, make_extractor
from kallima.evaluation.images import evaluate_images
from kallima.evaluation.metrics import METRICS
from kallima.evaluation.points import evaluate_points
from kallima.evaluation.reference import Reference, read_reference, reference_statistics
from kallima.evaluation.score import Measure, Score, table
from kallima.evaluation.systems import SYSTEM_METRICS, evaluate_system
from kallima.evaluation.texts import evaluate_texts

__all__ = [
    "FEATURES",
    "METRICS",
    "SYSTEM_METRICS",
    "FeatureExtractor",
    "Measure",
    "OwnFeatures",
    "Reference",
    "Score",
    "Subject",
    "evaluate_images",
    "evaluate_points",
    "evaluate_system",
    "evaluate_texts",
    "make_extractor",
    "read_reference",
    "reference_statistics",
    "table",
]

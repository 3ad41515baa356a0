"""Data: specs, sources, and the order in which examples are read. None of what is named here imports torch."""

from kallima.data.opening import open_source
from kallima.data.source import Source
from kallima.data.spec import Attributes, Image, Label, Points, Spec, Text

__all__ = ["Attributes", "Image", "Label", "Points", "Source", "Spec", "Text", "open_source"]

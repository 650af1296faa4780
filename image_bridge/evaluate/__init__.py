"""Figures about images with captions, as functions of samples, never of a trainer, each beside that of real images."""

from .attributes import attribute_classifier, attribute_table, classifier_scores, named
from .comparison import Judges, compare
from .distances import kid, mmd2
from .drawing import drawn
from .held_out import figures
from .matching import matcher, r_precision
from .memorisation import nearest, nearest_pixels
from .modes import modes
from .similarity import likeness, ms_ssim
from .texts import Texts, class_texts, folder_texts, held_out_texts

__all__ = [
    "Judges", "Texts", "attribute_classifier", "attribute_table", "class_texts", "classifier_scores", "compare",
    "drawn", "figures", "folder_texts", "held_out_texts", "kid", "likeness", "matcher", "mmd2", "modes", "ms_ssim", "named",
    "nearest", "nearest_pixels", "r_precision",
]  # fmt: skip

"""What ``evaluate`` says of a run that translates images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textgan.errors import UserError

from .judging import Bars, checkpoint_of, device_of, real_images, trained_on


def evaluate_translator(given: Any, folder: Path, bars: Bars) -> int:
    """``image-bridge evaluate`` of a run whose generator, in ``folder``, translates."""
    from ..evaluate.attributes import attribute_classifier
    from ..evaluate.extractors import own
    from ..evaluate.translation import images_of_domains, judge_translator
    from ..evaluate.translation_table import table
    from ..translation import ImageToImage
    from .evaluation import extractor_for, tell_figures

    device, source = device_of(given.device), trained_on(given.run, given.data)
    G, extractor = ImageToImage.from_pretrained(folder).to(device).G, extractor_for(given, device)
    data, packed = real_images(source, G.config.size, bars)
    images_of_domains(data, G.config.label, G.config.domains, given.number, given.seed)  # before a judge is trained
    judge = attribute_classifier(data, packed, device, bars.part("attribute classifier"))
    if judge is None:
        raise UserError(f"{source} has no attribute with two values; expected the {G.config.label} of the run's domains")
    extractor = extractor or own("attribute classifier of the data", judge.features, device)
    found, picture = judge_translator(G, data, packed, judge, extractor, given.number, given.seed, given.batch, bars)
    bars.close()
    told = {"checkpoint": checkpoint_of(folder), "data": source, **found}
    shows = "held-out images, their translations, and the truth"
    return tell_figures(given, told, picture, table, ("images", "translations"), shows)

"""What ``evaluate`` says of a run that translates images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textgan.errors import UserError

from .judging import Bars, device_of, real_images, run_of


def evaluate_translator(given: Any, extractor_for: Any) -> int:
    """``image-bridge evaluate`` of a run that translates.

    Args:
        given: options of evaluate.
        extractor_for: gives the extractor that was asked for on a device, or None for our own judge.
    """
    from textgan.runtime import Run

    from ..evaluate.attributes import attribute_classifier
    from ..evaluate.extractors import own
    from ..evaluate.translation import images_of_domains, judge_translator
    from ..evaluate.translation_table import table
    from ..pipeline import generator_folder
    from ..translation import ImageToImage
    from .evaluation import tell_figures

    device, run, folder = device_of(given.device), run_of(Path(given.run)), generator_folder(given.run)
    source = given.data or (Run.open(run).config.get("data", {}).get("data", "") if run else "")
    if not source:
        raise UserError(f"{given.run} does not say what it was trained on; expected --data FOLDER with the real images")
    G, extractor, bars = ImageToImage.from_pretrained(folder).to(device).G, extractor_for(given, device), Bars()
    try:
        data, packed = real_images(source, G.config.size, bars)
        images_of_domains(data, G.config.label, G.config.domains, given.number, given.seed)  # before a judge is trained
        judge = attribute_classifier(data, packed, device, bars.part("attribute classifier"))
        if judge is None:
            raise UserError(f"{source} has no attribute with two values; expected the {G.config.label} of the run's domains")
        extractor = extractor or own("attribute classifier of the data", judge.features, device)
        found, picture = judge_translator(G, data, packed, judge, extractor, given.number, given.seed, given.batch, bars)
    finally:
        bars.close()
    name = folder.parent.name if folder.name == "generator" else folder.name
    told = {"checkpoint": name, "data": str(source), **found}
    shows = "held-out images, their translations, and the truth"
    return tell_figures(given, told, picture, table, ("images", "translations"), shows)

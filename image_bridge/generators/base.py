"""What all generators of images share: how they are saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from torch import nn

from textgan.generators import read, save


class Saved(nn.Module):
    """A module with a frozen ``config``; a subclass has a ``kind`` and a ``Config``."""

    kind: ClassVar[str]
    Config: ClassVar[Any]
    config: Any

    def save_pretrained(self, folder: Path | str) -> None:
        """Write config.json and model.safetensors."""
        save(self, self.config, f"image-{self.kind}", folder)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """Load what ``save_pretrained`` wrote.

        Raises:
            UserError: the folder holds no such model.
        """
        config, weights = read(folder, f"image-{cls.kind}")
        model = cls(cls.Config(**config))
        model.load_state_dict(weights)
        return model.eval()

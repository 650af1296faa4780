"""Images that were generated before, which D sees beside the new ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textgan.runtime import Workers


class ImagePool(nn.Module):
    """The last images that were generated; D is shown one of them half of the time (Shrivastava et al., CVPR 2017, section 2.3).

    Its images are buffers, so that a checkpoint has them and a run that goes on sees what the unbroken one would.

    Args:
        images: that it holds; 0 shows every image as it comes.
        size: their width and height.
        channels: of an image.
    """

    held: Tensor
    count: Tensor

    def __init__(self, images: int, size: int, channels: int = 3) -> None:
        super().__init__()
        self.register_buffer("held", torch.zeros(images, channels, size, size))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def exchange(self, x: Tensor, workers: Workers) -> Tensor:
        """Images (B, C, S, S) to show D for some new ones, each the new one or, half of the time, an older one.

        Until the pool is full, every new image is shown and put into it. Afterwards an image that is shown instead of a new one
        makes room for it. All processes have the same pool, through which the images of all of them go.
        """
        size, everything = len(self.held), workers.gather(x)
        if not size:
            return x
        u = torch.rand(len(everything), 2, generator=workers.noise, device=x.device)
        shown = []
        for image, (which, place) in zip(everything, u, strict=True):  # one after the other: a later one may get an earlier one
            filling = self.count < size
            swap = filling | (which < 0.5)
            slot = torch.where(filling, self.count, (place * size).long())[None]
            old = self.held[slot][0]
            shown.append(torch.where(filling | ~swap, image, old))
            self.held[slot] = torch.where(swap, image, old)[None]
            self.count += filling
        return torch.stack(shown)[workers.rank * len(x) : (workers.rank + 1) * len(x)]

"""Inception-v3 up to its 2,048 pooled features, for weights that users bring: of torchvision, or those of FID (pytorch-fid)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 299
FEATURES = 2048
Size = int | tuple[int, int]


class Convolution(nn.Module):
    """A convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Size = 1, stride: int = 1, padding: Size = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side (Szegedy et al., 2015, figures 5 to 7 and 10).

    A branch is a list of convolutions by name; "max" and "average" pool before the convolutions that follow, and a name with a +
    takes the same input as the one before it, the two giving their channels side by side.

    Args:
        convolutions: by name.
        branches: names, a list a branch.
        border: whether the average of the border counts pixels outside the image (torchvision) or not (FID).
        stride: of the pools.
    """

    def __init__(self, convolutions: Mapping[str, Convolution], branches: list[list[str]], border: bool, stride: int = 1) -> None:
        super().__init__()
        for name, module in convolutions.items():
            self.add_module(name, module)
        self.branches, self.border, self.stride = branches, border, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return torch.cat([self.run(branch, x) for branch in self.branches], 1)

    def run(self, branch: list[str], x: Tensor) -> Tensor:
        """What a branch gives."""
        before, sides = x, list[Tensor]()
        for name in branch:
            if name == "average":
                x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=self.border)
            elif name == "max":
                x = F.max_pool2d(x, 3, self.stride, 1 if self.stride == 1 else 0)
            elif name.startswith("+"):
                sides, x = [*sides, x], self.get_submodule(name[1:])(before)
            else:
                before, x = x, self.get_submodule(name)(x)
        return torch.cat([*sides, x], 1)


C = Convolution


def _a(inputs: int, pool: int, border: bool) -> Mixed:
    parts = {
        "branch1x1": C(inputs, 64), "branch5x5_1": C(inputs, 48), "branch5x5_2": C(48, 64, 5, 1, 2),
        "branch3x3dbl_1": C(inputs, 64), "branch3x3dbl_2": C(64, 96, 3, 1, 1), "branch3x3dbl_3": C(96, 96, 3, 1, 1),
        "branch_pool": C(inputs, pool),
    }  # fmt: skip
    rows = [["branch1x1"], ["branch5x5_1", "branch5x5_2"], [f"branch3x3dbl_{k}" for k in (1, 2, 3)], ["average", "branch_pool"]]
    return Mixed(parts, rows, border)


def _b(inputs: int) -> Mixed:
    parts = {
        "branch3x3": C(inputs, 384, 3, 2), "branch3x3dbl_1": C(inputs, 64), "branch3x3dbl_2": C(64, 96, 3, 1, 1),
        "branch3x3dbl_3": C(96, 96, 3, 2),
    }  # fmt: skip
    return Mixed(parts, [["branch3x3"], [f"branch3x3dbl_{k}" for k in (1, 2, 3)], ["max"]], True, 2)


def _c(inner: int, border: bool) -> Mixed:
    wide, tall, n = ((1, 7), (0, 3)), ((7, 1), (3, 0)), inner
    parts = {"branch1x1": C(768, 192), "branch7x7_1": C(768, n)}
    parts |= {f"branch7x7_{k}": C(n, o, s, 1, p) for k, o, (s, p) in ((2, n, wide), (3, 192, tall))}
    parts["branch7x7dbl_1"] = C(768, n)
    for k, o, (s, p) in ((2, n, tall), (3, n, wide), (4, n, tall), (5, 192, wide)):
        parts[f"branch7x7dbl_{k}"] = C(n, o, s, 1, p)
    parts["branch_pool"] = C(768, 192)
    seven, double = ([f"branch7x7{kind}_{k}" for k in range(1, last)] for kind, last in (("", 4), ("dbl", 6)))
    return Mixed(parts, [["branch1x1"], seven, double, ["average", "branch_pool"]], border)


def _d() -> Mixed:
    parts = {"branch3x3_1": C(768, 192), "branch3x3_2": C(192, 320, 3, 2), "branch7x7x3_1": C(768, 192)}
    parts |= {"branch7x7x3_2": C(192, 192, (1, 7), 1, (0, 3)), "branch7x7x3_3": C(192, 192, (7, 1), 1, (3, 0))}
    parts["branch7x7x3_4"] = C(192, 192, 3, 2)
    rows = [["branch3x3_1", "branch3x3_2"], [f"branch7x7x3_{k}" for k in (1, 2, 3, 4)], ["max"]]
    return Mixed(parts, rows, True, 2)


def _e(inputs: int, border: bool, pool: str) -> Mixed:
    parts = {"branch1x1": C(inputs, 320), "branch3x3_1": C(inputs, 384)}
    parts |= {"branch3x3_2a": C(384, 384, (1, 3), 1, (0, 1)), "branch3x3_2b": C(384, 384, (3, 1), 1, (1, 0))}
    parts |= {"branch3x3dbl_1": C(inputs, 448), "branch3x3dbl_2": C(448, 384, 3, 1, 1)}
    parts |= {"branch3x3dbl_3a": C(384, 384, (1, 3), 1, (0, 1)), "branch3x3dbl_3b": C(384, 384, (3, 1), 1, (1, 0))}
    parts["branch_pool"] = C(inputs, 192)
    rows = [["branch1x1"], ["branch3x3_1", "branch3x3_2a", "+branch3x3_2b"]]
    rows += [["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3a", "+branch3x3dbl_3b"], [pool, "branch_pool"]]
    return Mixed(parts, rows, border)


class InceptionV3(nn.Module):
    """Images to features.

    Args:
        fid: the network of FID, which was carried over from TensorFlow: averages leave the border out, and the last block takes
            the maximum. Else that of torchvision.
    """

    def __init__(self, fid: bool) -> None:
        super().__init__()
        self.fid, b = fid, not fid
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3, self.Conv2d_2b_3x3 = C(3, 32, 3, 2), C(32, 32, 3), C(32, 64, 3, 1, 1)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = C(64, 80), C(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _a(192, 32, b), _a(256, 64, b), _a(288, 64, b)
        self.Mixed_6a = _b(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = _c(128, b), _c(160, b), _c(160, b), _c(192, b)
        self.Mixed_7a = _d()
        self.Mixed_7b, self.Mixed_7c = _e(1280, b, "average"), _e(2048, b, "max" if fid else "average")

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, 2048) of images (B, 3, 299, 299) in [-1, 1]."""
        for name, module in self.named_children():
            x = module(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = F.max_pool2d(x, 3, 2)
        return x.mean((2, 3))

    @classmethod
    def load(cls, weights: Mapping[str, Tensor]) -> InceptionV3:
        """The network for a state dict; FID's is known by its 1,008 classes.

        Raises:
            ValueError: the names or shapes are not those of Inception-v3.
        """
        last = weights.get("fc.weight")
        network = cls(fid=last is not None and len(last) == 1008)
        used = {k: v for k, v in weights.items() if not k.startswith(("fc.", "AuxLogits."))}
        try:
            found = network.load_state_dict(used, strict=False)
        except (RuntimeError, AttributeError) as error:
            raise ValueError(" ".join(str(error).split())[:200]) from error
        missing = [k for k in found.missing_keys if not k.endswith("num_batches_tracked")]
        wrong = [*missing, *found.unexpected_keys]
        if wrong:
            raise ValueError(f"{len(wrong)} names do not fit, the first is {wrong[0]}")
        return network.eval()

"""The command ``report``."""

from __future__ import annotations

from textgan.cli.use import report as write

SIZES = ("", *(str(2**k) for k in range(3, 11)))  # a discriminator may be named by the size of its images
UNITS = {
    "eval/kid": "KID of images from the held-out ones, in the classifier's features",
    "eval/l1": "mean difference of held-out images from what is made of them, channels in [0, 1]",
    "eval/psnr": "peak signal-to-noise ratio of what is made of held-out images (dB)",
    "eval/accuracy": "share of the named attributes that images show",
    "eval/accuracy_all": "share of images that show all that their caption names",
    "g/loss": "G's loss",
    "g/kl": "KL of the text's code from a standard normal (nats a number)",
    "g/same": "how alike the images of a text are: difference of noise by difference of images",
    "g/colour": "G's colours: distance between sizes",
    "g/l1": "mean difference of images from what G makes of them, channels in [-1, 1]",
    "g/grad": "norm of G's gradient",
    "g/classes": "cross-entropy of the classes that D names in G's images (nats)",
    "g/accuracy": "share of G's images whose class D names",
    "g/information": "lower bound of the information of codes and images, G's step (nats)",
    "g/nll": "squared difference of D's features, image and reconstruction, G's step",
    "e/loss": "the encoder's loss",
    "e/kl": "KL of the codes from a standard normal (nats)",
    "e/nll": "squared difference of D's features, image and reconstruction",
    "e/grad": "norm of the encoder's gradient",
    "d/penalty": "squared distance of the norm of the critic's gradient from 1",
    "d/accuracy": "share of real images whose class D names",
    "d/information": "lower bound of the information of codes and images (nats)",
    "d/again": "D's mean score of reconstructions",
    **{
        f"d{size}/{key}": f"{what}{f', {size} x {size}' if size else ''}"
        for size in SIZES
        for key, what in {
            "loss": "D's loss",
            "real": "D's mean score of real images, with their text where there is one",
            "wrong": "D's mean score of real images with another text",
            "fake": "D's mean score of generated images, with their text where there is one",
            "alone_real": "D's mean score of real images, text unseen",
            "alone_fake": "D's mean score of generated images, text unseen",
            "grad": "norm of D's gradient",
        }.items()
    },
}


def report(argv: list[str]) -> int:
    """``image-bridge report``."""
    return write(argv, "image-bridge", UNITS)

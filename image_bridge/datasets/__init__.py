"""Builders of image data sets with captions: all write one format, ``imagefolder`` with ``metadata.jsonl``."""

BUILDERS = {
    "shapes": "coloured shapes drawn from a grammar, with exact attributes; needs nothing",
    "faces": "cartoon faces with exact attributes, or any other styles of dicebear; needs the extra [faces]",
    "emoji": "a colour emoji font's pictures, or OpenMoji's with line drawings, and their names; needs the package emoji",
    "fashion-mnist": "70,000 grey pictures of clothes in ten classes, from its idx files",
    "digits": "1,797 handwritten digits, 8 x 8 and grey, that come with scikit-learn",
    "svhn-mnist": "house numbers and handwritten digits, two domains with the classes zero to nine, from both sets' files",
    "imagefolder": "your own images; a .txt beside each holds its captions, a folder's name is its class, or trainA its domain",
    "cub": "CUB-200 or Oxford-102 as text-to-image papers have them: images, and text_c10 with ten captions each",
    "coco": "images and a captions_*.json of COCO",
}

"""Builders of image data sets with captions: all write one format, ``imagefolder`` with ``metadata.jsonl``."""

BUILDERS = {
    "shapes": "coloured shapes drawn from a grammar, with exact attributes; needs nothing",
    "faces": "cartoon faces with exact attributes, or any other style of dicebear; needs the extra [faces]",
    "emoji": "the pictures of a colour emoji font, with their names as captions; needs the package emoji",
    "fashion-mnist": "70,000 grey pictures of clothes in ten classes, from its idx files",
    "digits": "1,797 handwritten digits, 8 x 8 and grey, that come with scikit-learn",
    "imagefolder": "your own images, with metadata.jsonl; a .txt beside each holds its captions, a folder's name is its class",
    "cub": "CUB-200 or Oxford-102 as text-to-image papers have them: images, and text_c10 with ten captions each",
    "coco": "images and a captions_*.json of COCO",
}

"""The synthetic breeds: 37, named as in the Oxford-IIIT Pets, that differ in coat, ears, muzzle and build."""

from dataclasses import dataclass

Colour = tuple[int, int, int]

WHITE, CREAM, BLACK = (244, 240, 234), (236, 220, 194), (44, 42, 46)
GREY, BLUE_GREY, BLUE, SILVER = (128, 128, 132), (116, 124, 140), (134, 142, 158), (186, 188, 192)
BROWN, DARK_BROWN, LIVER = (132, 92, 62), (78, 54, 42), (96, 60, 46)
RED, FAWN, GOLD, TAN, WHEAT = (178, 100, 52), (206, 168, 122), (214, 160, 88), (190, 130, 78), (222, 188, 138)
PINK = (226, 184, 170)
GREEN_EYE, YELLOW_EYE, BLUE_EYE, COPPER_EYE = (122, 164, 84), (214, 178, 70), (96, 150, 206), (198, 120, 50)
BROWN_EYE = (92, 60, 38)


@dataclass(frozen=True)
class Breed:
    """What one breed looks like.

    ``pattern`` is where ``accent`` goes; ``ears`` are up, tufted, round, bat, folded, hanging or long;
    ``fluff`` (0 smooth to 1 shaggy) roughens the outline; ``muzzle`` is 0 (flat) to 1 (long); ``build`` is
    the body's width, 1 on average.
    """

    name: str
    species: str
    coat: Colour
    accent: Colour
    pattern: str
    ears: str
    fluff: float
    muzzle: float
    build: float
    eyes: Colour = BROWN_EYE


BREEDS = (
    Breed("Abyssinian", "cat", (196, 130, 78), (150, 92, 54), "ticked", "up", 0.05, 0.35, 0.85, GREEN_EYE),
    Breed("Bengal", "cat", (210, 158, 96), (84, 56, 36), "spots", "round", 0.05, 0.35, 1.0, GREEN_EYE),
    Breed("Birman", "cat", CREAM, DARK_BROWN, "points-mitted", "up", 0.7, 0.25, 1.1, BLUE_EYE),
    Breed("Bombay", "cat", BLACK, BLACK, "solid", "round", 0.0, 0.25, 1.0, COPPER_EYE),
    Breed("British_Shorthair", "cat", BLUE_GREY, BLUE_GREY, "solid", "round", 0.2, 0.15, 1.3, COPPER_EYE),
    Breed("Egyptian_Mau", "cat", SILVER, (70, 70, 76), "spots", "up", 0.0, 0.35, 0.85, GREEN_EYE),
    Breed("Maine_Coon", "cat", (150, 116, 82), (74, 54, 42), "tabby", "tufted", 0.9, 0.5, 1.2, YELLOW_EYE),
    Breed("Persian", "cat", WHITE, CREAM, "solid", "round", 1.0, 0.0, 1.3, COPPER_EYE),
    Breed("Ragdoll", "cat", WHITE, (130, 108, 96), "points", "up", 0.8, 0.3, 1.2, BLUE_EYE),
    Breed("Russian_Blue", "cat", BLUE, BLUE, "solid", "up", 0.05, 0.35, 0.85, GREEN_EYE),
    Breed("Siamese", "cat", (238, 224, 202), (70, 52, 44), "points", "bat", 0.0, 0.5, 0.75, BLUE_EYE),
    Breed("Sphynx", "cat", PINK, (198, 150, 138), "wrinkles", "bat", 0.0, 0.35, 0.75, YELLOW_EYE),
    Breed("american_bulldog", "dog", WHITE, TAN, "patches", "folded", 0.0, 0.35, 1.35),
    Breed("american_pit_bull_terrier", "dog", (150, 108, 82), WHITE, "bib", "folded", 0.0, 0.5, 1.15),
    Breed("basset_hound", "dog", RED, WHITE, "saddle", "long", 0.0, 0.8, 1.2),
    Breed("beagle", "dog", TAN, WHITE, "saddle", "hanging", 0.0, 0.6, 0.95),
    Breed("boxer", "dog", (190, 124, 70), BLACK, "mask", "folded", 0.0, 0.15, 1.1),
    Breed("chihuahua", "dog", FAWN, WHITE, "bib", "bat", 0.05, 0.4, 0.7),
    Breed("english_cocker_spaniel", "dog", GOLD, GOLD, "solid", "long", 0.5, 0.6, 0.95),
    Breed("english_setter", "dog", WHITE, BLACK, "speckles", "hanging", 0.6, 0.8, 0.95),
    Breed("german_shorthaired", "dog", (206, 196, 186), LIVER, "speckles-head", "hanging", 0.0, 0.8, 0.95),
    Breed("great_pyrenees", "dog", WHITE, CREAM, "solid", "folded", 0.9, 0.6, 1.35),
    Breed("havanese", "dog", CREAM, BROWN, "patches", "hanging", 1.0, 0.35, 0.9),
    Breed("japanese_chin", "dog", WHITE, BLACK, "patches-ears", "hanging", 0.8, 0.05, 0.8),
    Breed("keeshond", "dog", GREY, BLACK, "mask", "up", 1.0, 0.5, 1.1),
    Breed("leonberger", "dog", (188, 128, 72), BLACK, "mask", "hanging", 0.8, 0.6, 1.35),
    Breed("miniature_pinscher", "dog", BLACK, RED, "tan", "up", 0.0, 0.6, 0.7),
    Breed("newfoundland", "dog", BLACK, BLACK, "solid", "hanging", 0.8, 0.5, 1.4),
    Breed("pomeranian", "dog", (222, 146, 72), CREAM, "bib", "up", 1.0, 0.3, 0.9),
    Breed("pug", "dog", FAWN, BLACK, "mask-ears", "folded", 0.0, 0.0, 1.15),
    Breed("saint_bernard", "dog", WHITE, RED, "patches-ears", "hanging", 0.6, 0.45, 1.4),
    Breed("samoyed", "dog", WHITE, WHITE, "solid", "up", 1.0, 0.5, 1.15),
    Breed("scottish_terrier", "dog", BLACK, GREY, "beard", "up", 0.6, 0.8, 0.95),
    Breed("shiba_inu", "dog", (212, 138, 72), WHITE, "bib", "up", 0.3, 0.5, 1.0),
    Breed("staffordshire_bull_terrier", "dog", (112, 84, 66), WHITE, "bib", "folded", 0.0, 0.35, 1.3),
    Breed("wheaten_terrier", "dog", WHEAT, WHEAT, "beard", "folded", 0.9, 0.6, 1.0),
    Breed("yorkshire_terrier", "dog", (92, 100, 116), GOLD, "tan-head", "up", 0.8, 0.35, 0.75),
)

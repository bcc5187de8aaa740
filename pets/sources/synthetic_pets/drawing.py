"""Synthetic cats and dogs: flat shapes with soft edges, which differ between breeds as the real ones do.

They replace photographs where there is no network. Pose, light, background and position are random and do not
depend on the breed, so that only the animal itself shows which breed it is.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pets.sources.synthetic_pets.breeds import BLACK, PINK, WHITE, Breed, Colour

Point = tuple[float, float]

SUPERSAMPLING = 2
POINTED = {"ears", "mask", "tail", "legs"}
ACCENTED = {  # the parts that have the accent's colour, by pattern
    "points": POINTED,
    "points-mitted": POINTED,
    "bib": {"muzzle", "chest", "paws"},
    "saddle": {"muzzle", "chest", "paws", "legs"},
    "mask": {"muzzle"},
    "mask-ears": {"muzzle", "ears"},
    "patches-ears": {"ears"},
    "speckles-head": {"ears", "head", "muzzle"},
    "tan": {"muzzle", "chest", "paws"},
    "tan-head": {"head", "muzzle", "chest", "paws", "ears"},
    "beard": {"muzzle"},
}
DOTS = {  # how many dots a pattern has on a part, and their radius as a share of the part's width
    "spots": (60, 0.05),
    "ticked": (260, 0.012),
    "speckles": (130, 0.025),
    "speckles-head": (130, 0.025),
    "patches": (3, 0.26),
    "patches-ears": (3, 0.26),
}
POSES = {  # the head's radius and how far down it is, as shares of the picture; how far aside the body is
    "portrait": (0.3, 0.45, 0.0),
    "sit": (0.17, 0.3, 0.0),
    "stand": (0.15, 0.42, 1.0),
    "lie": (0.17, 0.45, 0.3),
}
UPRIGHT = {"up": 1.0, "tufted": 1.15, "round": 0.8, "bat": 1.45}  # how large the ears are
DROOPING = {  # the ear's corners, in half widths and half heights of the head, and its shade
    "hanging": ([(0.72, 0.75), (1.2, 0.4), (1.3, 0.7 - 1.05), (0.95, 0.55 - 1.05), (0.75, 0.1)], 0.88),
    "long": ([(0.72, 0.75), (1.2, 0.4), (1.3, 0.7 - 1.5), (0.95, 0.55 - 1.5), (0.75, 0.1)], 0.88),
    "folded": ([(0.4, 0.9), (0.85, 1.05), (1.2, 0.55), (0.95, 0.35), (0.7, 0.7)], 0.85),
}


def draw(breed: Breed, generator: np.random.Generator, size: int) -> Image.Image:
    """A picture of the breed, RGB, its short side ``size`` pixels; the generator is its only randomness."""
    longer = int(size * generator.uniform(1, 1.4))
    width, height = (longer, size) if generator.random() < 0.6 else (size, longer)
    canvas = _background(generator, width * SUPERSAMPLING, height * SUPERSAMPLING)
    _Pet(canvas, breed, generator).draw()
    picture = canvas.resize((width, height), Image.Resampling.LANCZOS)
    return _light(picture, generator)


def _background(generator: np.random.Generator, width: int, height: int) -> Image.Image:
    """A meadow, a room, a plain wall, or colours out of focus."""
    kind = generator.integers(4)
    canvas = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(canvas)
    horizon = int(height * generator.uniform(0.5, 0.75))
    top, bottom = _pale(generator), _pale(generator)
    if kind == 0:
        top, bottom = (170, 206, 232), (128, 168, 92)
    for y in range(height):
        parted = top if y < horizon else bottom
        colour = parted if kind in (0, 1) else _mix(top, bottom, y / height)
        pen.line([(0, y), (width, y)], fill=_shade(colour, 1 - 0.15 * abs(y - horizon) / height))
    for _ in range(int(generator.integers(4, 14))):
        across, down = generator.uniform(0, width), generator.uniform(0, height)
        radius = generator.uniform(0.03, 0.2) * width
        if kind == 0:
            down, radius = max(down, horizon), radius / 4
        tint = _mix(_pale(generator), bottom if down > horizon else top, 0.6)
        pen.ellipse([across - radius, down - radius, across + radius, down + radius], fill=tint)
    blur = width / (20 if kind == 3 else 90)
    return canvas.filter(ImageFilter.GaussianBlur(blur))


def _light(picture: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Warm or cool, dim or bright light from one side, and sensor noise."""
    pixels = np.asarray(picture).astype(np.float32)
    height, width, _ = pixels.shape
    warmth = generator.uniform(-0.12, 0.12)
    tint = np.array([1 + warmth, 1, 1 - warmth], dtype=np.float32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = generator.uniform(0, 2 * np.pi)
    slope = ((x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle)).astype(np.float32)
    brightness = generator.uniform(0.7, 1.12) * (1 + generator.uniform(0, 0.4) * slope)
    grain = generator.normal(0, generator.uniform(1, 6), (height, width, 1)).astype(np.float32)
    return Image.fromarray((pixels * tint * brightness[..., None] + grain).clip(0, 255).astype(np.uint8))


class _Pet:
    """One animal on a canvas, drawn in units of its head's radius."""

    def __init__(self, canvas: Image.Image, breed: Breed, generator: np.random.Generator) -> None:
        self.canvas = canvas
        self.breed = breed
        self.random = generator
        self.cat = breed.species == "cat"
        self.pose = list(POSES)[generator.integers(4)]
        self.coat = self._varied(breed.coat)
        self.accent = self._varied(breed.accent)
        width, height = canvas.size
        share, down, aside = POSES[self.pose]
        self.unit = min(width, height) * share * generator.uniform(0.85, 1.15)
        self.side = 1 if generator.random() < 0.5 else -1
        behind = self.side * self.unit * aside  # what the body takes up
        self.origin = (width / 2 - behind + generator.uniform(-0.08, 0.08) * width, height * down)
        self.tilt = generator.uniform(-0.1, 0.1)

    def draw(self) -> None:
        bodies = {"portrait": self._bust, "sit": self._sitting, "stand": self._standing, "lie": self._lying}
        bodies[self.pose]()

    # Bodies. The pose determines where the head is, which is drawn last, in front.

    def _bust(self) -> None:
        build = self.breed.build
        self._part("body", _oval(0, 2.1, 1.25 * build, 1.6))
        self._part("chest", _oval(0, 1.9, 0.62 * build, 1.2))
        self._head(0, 0)

    def _sitting(self) -> None:
        build = self.breed.build
        self._tail(1.0 * build, 3.4, 1.9 * build, 2.2)
        self._part("body", _oval(0, 2.5, 1.15 * build, 1.75))
        for side in (-1, 1):
            self._part("legs", _oval(side * 0.95 * build, 3.7, 0.55 * build, 0.62))
        self._part("chest", _oval(0, 2.1, 0.6 * build, 1.1))
        for side in (-1, 1):
            self._leg(side * 0.42 * build, 2.6, 4.25)
        self._head(0, 0)

    def _standing(self) -> None:
        build, length = self.breed.build, 2.3
        low = 3.4 if self.cat or self.breed.build > 0.8 else 3.0
        if self.breed.ears == "long" and self.breed.build > 1.1:
            low = 2.6  # a basset's legs
        self._tail(length + 0.6, 1.0, length + 1.5, -0.4)
        for x in (0.35, length - 0.2):
            self._leg(x + 0.35, 1.5, low, shade=0.82)
        self._part("body", _oval(length / 2 + 0.2, 1.4, 1.75, 0.85 * build))
        self._part("chest", _oval(0.0, 1.55, 0.5, 0.7 * build))
        for x in (0.15, length - 0.1):
            self._leg(x, 1.5, low + 0.15)
        self._head(-0.35, 0)

    def _lying(self) -> None:
        build = self.breed.build
        self._tail(1.6 * build, 1.6, 2.5 * build, 1.9)
        self._part("body", _oval(0.5, 1.35, 1.9, 0.95 * build))
        self._part("chest", _oval(-0.1, 1.45, 0.6, 0.75 * build))
        for side in (-1, 1):
            self._part("legs", _oval(side * 0.5 - 0.1, 2.05, 0.36, 0.3))
            self._part("paws", _oval(side * 0.5 - 0.1, 2.2, 0.36, 0.2))
        self._head(-0.1, 0)

    def _leg(self, x: float, top: float, bottom: float, shade: float = 1.0) -> None:
        thick = 0.3 * (0.8 + 0.25 * self.breed.build)
        middle = (top + bottom) / 2
        self._part("legs", _oval(x, middle, thick, (bottom - top) / 2 + 0.1), shade=shade)
        self._part("paws", _oval(x - 0.06, bottom, thick * 1.15, 0.2), shade=shade)

    def _tail(self, x: float, y: float, end_x: float, end_y: float) -> None:
        """Discs along a curve, from the body outwards."""
        thick = (0.16 if self.cat else 0.2) + 0.3 * self.breed.fluff
        if self.breed.name in ("pug", "american_bulldog", "boxer", "miniature_pinscher"):
            end_x, end_y = x + 0.35, y - 0.35
        for step in np.linspace(0, 1, 14):
            bend = 0.5 * np.sin(step * np.pi)
            centre = (x + (end_x - x) * step + 0.3 * bend, y + (end_y - y) * step - bend)
            self._part("tail", _oval(*centre, thick, thick))

    # The head.

    def _head(self, x: float, y: float) -> None:
        cat, breed = self.cat, self.breed
        wide = (1.05 if cat else 0.95) * (0.85 + 0.15 * breed.build)
        tall = 0.92 if cat else 1.0
        if breed.ears in UPRIGHT:
            self._ears(x, y, wide, tall)
        self._part("head", _oval(x, y, wide, tall))
        if breed.pattern.startswith("points"):
            self._part("mask", _oval(x, y + 0.3, 0.55, 0.55))
        if breed.pattern in ("bib", "saddle", "patches-ears") and not cat and breed.name != "pomeranian":
            self._shape(_oval(x, y - 0.35, 0.16, 0.62), WHITE)  # a blaze
        if breed.ears in DROOPING:
            self._ears(x, y, wide, tall)
        self._eyes(x, y)
        self._muzzle(x, y)

    def _ears(self, x: float, y: float, wide: float, tall: float) -> None:
        kind = self.breed.ears
        for side in (-1, 1):

            def at(across: float, up: float, side: int = side) -> Point:
                return x + side * wide * across, y - tall * up

            if kind in DROOPING:
                corners, shade = DROOPING[kind]
                self._part("ears", _smooth([at(*corner) for corner in corners]), shade)
                continue
            big = UPRIGHT[kind]
            tip = at(0.85, 0.75 + 0.75 * big)
            outline = [at(0.2, 0.8), tip, at(1.0, 0.25)]
            self._part("ears", _smooth(outline, rounds=2 if kind == "round" else 1))
            inner = [_between(point, at(0.7, 0.75), 0.42) for point in outline]
            self._shape(_smooth(inner), _mix(self._colour("ears"), PINK, 0.65))
            if kind == "tufted":
                self._shape([tip, at(0.98, 1.1 + 0.85 * big), at(0.8, 1.2)], self._colour("ears"))

    def _eyes(self, x: float, y: float) -> None:
        apart, radius, pupil = (0.42, 0.2, (0.3, 0.8)) if self.cat else (0.36, 0.15, (0.6, 0.6))
        if self.breed.muzzle < 0.1:
            apart, radius = 0.46, radius * 1.15
        for side in (-1, 1):
            centre = (x + side * apart, y - 0.08)
            if self.breed.pattern == "tan":
                self._shape(_oval(centre[0], centre[1] - 0.3, 0.12, 0.08), self.accent)
            self._shape(_oval(*centre, radius * 1.18, radius * 1.05), _shade(self.coat, 0.45))
            self._shape(_oval(*centre, radius, radius * 0.9), self.breed.eyes)
            self._shape(_oval(*centre, radius * pupil[0], radius * pupil[1]), (20, 18, 18))
            glint = radius * 0.25
            self._shape(_oval(centre[0] - 0.06, centre[1] - 0.06, glint, glint), (255, 255, 255))

    def _muzzle(self, x: float, y: float) -> None:
        length = self.breed.muzzle
        if self.cat:
            part = "mask" if "points" in self.breed.pattern else "muzzle"
            colour = _mix(self._colour(part), WHITE, 0.25)
            for side in (-1, 1):
                self._shape(_oval(x + side * 0.17, y + 0.42, 0.24, 0.19 + 0.06 * length), colour)
            self._shape([(x - 0.12, y + 0.22), (x + 0.12, y + 0.22), (x, y + 0.36)], (196, 116, 112))
            for side in (-1, 1):
                for lift in (-0.12, 0.0, 0.12):
                    self._line((x + side * 0.3, y + 0.42), (x + side * 1.15, y + 0.4 + lift), (250, 250, 250))
            return
        reach = 0.22 + 0.4 * length
        colour = _mix(self._colour("muzzle"), WHITE, 0.12)
        outline = _oval(x, y + 0.42 + reach / 3, 0.42 + 0.06 * (1 - length), 0.32 + reach / 2)
        self._shape(outline, colour, rough=True)
        if self.breed.pattern == "beard" or self.breed.name in ("havanese", "yorkshire_terrier"):
            self._shape(_oval(x, y + 0.85 + reach / 2, 0.4, 0.4), _shade(colour, 0.95), rough=True)
        nose = y + 0.36 + reach / 1.6
        self._line((x, nose), (x, nose + 0.3), (40, 30, 30))
        for side in (-1, 1):
            self._line((x, nose + 0.3), (x + side * 0.22, nose + 0.36), (40, 30, 30))
        if self.random.random() < 0.35:
            self._shape(_oval(x, nose + 0.45, 0.12, 0.2), (224, 120, 128))
        self._shape(_oval(x, nose, 0.17, 0.12), (30, 26, 28))

    # Colours and patterns.

    def _varied(self, colour: Colour) -> Colour:
        """The colour, a little different for each animal of a breed."""
        factor = self.random.uniform(0.9, 1.1)
        shift = self.random.normal(0, 5, 3)
        return _clip(np.array(colour) * factor + shift)

    def _colour(self, part: str) -> Colour:
        return self.accent if part in ACCENTED.get(self.breed.pattern, set()) else self.coat

    def _part(self, part: str, outline: Sequence[Point], shade: float = 1.0) -> None:
        colour = self._colour(part)
        if part in ("chest", "paws", "mask") and colour == self.coat:
            if part != "chest":
                return
            colour = _mix(colour, WHITE, 0.12)
        if part == "paws" and self.breed.pattern == "points-mitted":
            colour = WHITE
        points = self._shape(outline, _shade(colour, shade), rough=True)
        if part == "body" or (part == "head" and self.breed.pattern not in ("speckles-head", "saddle")):
            self._mark(points)

    def _mark(self, points: Sequence[Point]) -> None:
        """Paint the breed's pattern on a large part, inside its outline."""
        pattern = self.breed.pattern
        layer = self.canvas.copy()
        pen = ImageDraw.Draw(layer)
        xs, ys = zip(*points, strict=True)
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
        wide, tall = right - left, bottom - top
        if pattern in DOTS:
            count, share = DOTS[pattern]
            for _ in range(count):
                x, y = self.random.uniform(left, right), self.random.uniform(top, bottom)
                radius = share * wide * self.random.uniform(0.6, 1.3)
                pen.ellipse([x - radius, y - radius * 0.8, x + radius, y + radius * 0.8], fill=self.accent)
        elif pattern in ("tabby", "wrinkles"):
            thick = max(1, int(self.unit * 0.11 * (0.35 if pattern == "wrinkles" else 1.0)))
            for position in np.linspace(0.05, 0.95, 9):
                x = left + wide * position
                bend = (position - 0.5) * wide * 0.35
                stripe = [(x, top), (x + bend, (top + bottom) / 2), (x + bend * 0.6, bottom)]
                pen.line(stripe, fill=self.accent, width=thick)
        elif pattern == "saddle":
            pen.ellipse([left + 0.1 * wide, top - 0.4 * tall, right, top + 0.5 * tall], fill=BLACK)
        else:
            return
        mask = Image.new("L", self.canvas.size)
        ImageDraw.Draw(mask).polygon(points, fill=255)
        self.canvas.paste(layer, mask=mask)

    # From units of the head's radius to pixels.

    def _place(self, point: Point) -> Point:
        x, y = point
        cosine, sine = np.cos(self.tilt), np.sin(self.tilt)
        across, down = x * cosine - y * sine, x * sine + y * cosine
        return self.origin[0] + self.side * across * self.unit, self.origin[1] + down * self.unit

    def _shape(self, outline: Sequence[Point], colour: Colour, rough: bool = False) -> list[Point]:
        """Fill the outline; returns it in pixels, as it was drawn."""
        points = [self._place(point) for point in outline]
        if rough and self.breed.fluff > 0.1:
            points = self._shaggy(points)
        ImageDraw.Draw(self.canvas).polygon(points, fill=colour)
        return points

    def _shaggy(self, points: list[Point]) -> list[Point]:
        """The outline with tufts: every other point moved outwards a little."""
        centre = np.mean(points, axis=0)
        reach = self.breed.fluff * self.unit * 0.16
        rough = []
        for number, point in enumerate(points):
            away = np.array(point) - centre
            away = away / (np.linalg.norm(away) + 1e-9)
            out = reach * (number % 2) * self.random.uniform(0.5, 1.2)
            rough.append((float(point[0] + away[0] * out), float(point[1] + away[1] * out)))
        return rough

    def _line(self, start: Point, end: Point, colour: Colour) -> None:
        pen = ImageDraw.Draw(self.canvas)
        pen.line([self._place(start), self._place(end)], fill=colour, width=max(1, int(self.unit * 0.03)))


def _oval(x: float, y: float, across: float, down: float) -> list[Point]:
    angles = np.linspace(0, 2 * np.pi, 56, endpoint=False)
    return [(float(x + across * np.cos(angle)), float(y + down * np.sin(angle))) for angle in angles]


def _smooth(points: Sequence[Point], rounds: int = 2) -> list[Point]:
    """The outline with its corners cut, which doubles the points each round (Chaikin, 1974)."""
    for _ in range(rounds):
        points = [_between(a, b, share) for a, b in pairwise([*points, points[0]]) for share in (0.2, 0.8)]
    return list(points)


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    return _clip(np.array(a) * (1 - share) + np.array(b) * share)


def _shade(colour: Colour, factor: float) -> Colour:
    return _clip(np.array(colour) * factor)


def _pale(generator: np.random.Generator) -> Colour:
    return _clip(generator.uniform(120, 225) + generator.normal(0, 22, 3))


def _clip(colour: np.ndarray) -> Colour:
    red, green, blue = (int(each) for each in colour.clip(0, 255))
    return red, green, blue

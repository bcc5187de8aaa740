"""Whether two pictures show the same photograph: one is laid over the other, and their details are compared.

Keypoints that match give the affine map from one picture to the other (SIFT: Lowe, Distinctive image
features from scale-invariant keypoints, 2004; RANSAC: Fischler and Bolles, 1981), and so find a crop, a
border, another scale, and in the mirrored picture a mirror image. The correlation of their details
and shades, once they lie on each other, then tells a copy, which has them all, from another photograph of the
same scene.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

SIDE = 192  # pixels of the longer side at which pictures are compared
KEYPOINTS = 200  # of a picture, the strongest
DISTINCT = 0.8  # Lowe's ratio: how much nearer the best match has to be than the second
INLIER = 3.0  # pixels
TRIES = 500  # of RANSAC
FEWEST = 6  # matches for an affine map; of three pairs, which fix it, chance finds many
OVERLAP = 0.4  # of the smaller picture: what two pictures must have in common
STRETCH = 2.0  # of a map, one direction against the other
FINE, COARSE = 1.0, 4.0  # pixels: details are what lies between these two blurs, shades the coarser one

cv2.setNumThreads(1)  # pictures are compared side by side, in threads of ours


@dataclass(frozen=True)
class Keypoints:
    """``grey`` uint8 [height, width]; ``points`` float32 [n, 2] (x, y); ``descriptors`` uint8 [n, 128]."""

    grey: np.ndarray
    points: np.ndarray
    descriptors: np.ndarray


@dataclass(frozen=True)
class Alignment:
    """How well one picture lies on another.

    ``correlation`` of details or of shades, the lower one, where they overlap, -1 to 1; ``overlap``, the
    share of the smaller one; ``matches``, keypoints that agree on the map; ``mirrored``; ``area`` of the
    first picture to the second's.
    """

    correlation: float
    overlap: float
    matches: int
    mirrored: bool
    area: float


NONE = Alignment(0.0, 0.0, 0, False, 1.0)


def keypoints(pixels: np.ndarray) -> Keypoints:
    """The keypoints of a picture uint8 RGB [height, width, 3], at ``SIDE`` pixels."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), size, interpolation=kind)
    found, descriptors = cv2.SIFT.create(KEYPOINTS, contrastThreshold=0.02).detectAndCompute(grey, None)
    if not found:
        return Keypoints(grey, np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8))
    points = np.array([point.pt for point in found], np.float32)
    return Keypoints(grey, points, descriptors.astype(np.uint8))  # whole numbers to 255


def mirrored(of: Keypoints) -> Keypoints:
    """The keypoints of the mirrored picture.

    A descriptor is a histogram of 8 directions in each of 4 x 4 fields, relative to the keypoint's own
    direction: in a mirrored picture the fields on either side of it change places, and angles their sign.
    """
    points = np.array([of.grey.shape[1] - 1, 0], np.float32) + of.points * np.array([-1, 1], np.float32)
    fields = of.descriptors.reshape(-1, 4, 4, 8)[:, ::-1][..., -np.arange(8)]
    return Keypoints(np.ascontiguousarray(of.grey[:, ::-1]), points, fields.reshape(-1, 128))


def align(one: Keypoints, other: Keypoints, enough: float) -> Alignment:
    """The best alignment of two pictures, as they are or one mirrored.

    The mirrored one is not tried where the correlation is ``enough`` already.
    """
    upright = _align(one, other)
    if upright.correlation >= enough:
        return upright
    return max(upright, replace(_align(mirrored(one), other), mirrored=True), key=_order)


def _align(one: Keypoints, other: Keypoints) -> Alignment:
    """By matching keypoints, or simply one whole picture on the other: some have hardly any keypoint."""
    (height, width), (tall, wide) = other.grey.shape, one.grey.shape
    whole = np.array([[width / wide, 0, 0], [0, height / tall, 0]], np.float32)
    candidates = [_measure(one.grey, other.grey, whole, 0)]
    matched, agree = _map(one, other)
    if matched is not None:
        candidates.append(_measure(one.grey, other.grey, matched, agree))
    return max(candidates, key=_order)


def _order(alignment: Alignment) -> tuple[float, int]:
    return alignment.correlation, alignment.matches


def _map(one: Keypoints, other: Keypoints) -> tuple[np.ndarray | None, int]:
    """The affine map [2, 3] on which most keypoints agree, and how many do."""
    if min(len(one.points), len(other.points)) < FEWEST:
        return None, 0
    a, b = one.descriptors.astype(np.float32), other.descriptors.astype(np.float32)
    # NumPy's product would start threads, which for so small a one takes longer than the product.
    products = cv2.gemm(a, b, 1, np.empty(0), 0, flags=cv2.GEMM_2_T)
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * products  # of the distances
    first, second = np.partition(squares, 1, axis=1)[:, :2].T
    best = squares.argmin(1)
    good = (first < DISTINCT**2 * second) & (squares.argmin(0)[best] == np.arange(len(best)))
    if good.sum() < FEWEST:
        return None, 0
    found, inliers = cv2.estimateAffine2D(
        one.points[good],
        other.points[best[good]],
        method=cv2.RANSAC,
        ransacReprojThreshold=INLIER,
        maxIters=TRIES,
    )
    if found is None or inliers.sum() < FEWEST:
        return None, 0
    long, short = np.linalg.svd(found[:, :2], compute_uv=False)
    usable = np.linalg.det(found[:, :2]) > 0 and long < STRETCH * short  # it neither mirrors nor distorts
    return (found, int(inliers.sum())) if usable else (None, 0)


def _measure(one: np.ndarray, other: np.ndarray, found: np.ndarray, matches: int) -> Alignment:
    height, width = other.shape
    area = abs(float(np.linalg.det(found[:, :2]))) * one.size / other.size
    laid = cv2.warpAffine(one, found, (width, height), flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.ones_like(one), found, (width, height), flags=cv2.INTER_NEAREST)
    inside = cv2.erode(inside, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_REPLICATE).astype(bool)
    overlap = float(inside.mean() / max(min(area, 1), 1e-9))
    if overlap < OVERLAP:
        return NONE
    laid = np.where(inside, laid, other)  # else its edge would be a detail that the other one lacks
    correlations = [
        _correlation(a[inside], b[inside]) for a, b in zip(_details(laid), _details(other), strict=True)
    ]
    return Alignment(min(*correlations, 1.0), min(overlap, 1.0), matches, False, area)


def _details(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What lies between two blurs, and what is left by the coarser one: details, and shades.

    Photographs of one kind have shades in common, drawings of one kind details. Noise of compression is
    finer than both.
    """
    values = grey.astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(values, (0, 0), size) for size in (FINE, COARSE))
    return fine - coarse, coarse


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 0 else 0.0

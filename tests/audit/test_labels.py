"""Wrong labels are found, by the probabilities that cleanlab reads."""

import numpy as np
import torch
from cleanlab.rank import get_label_quality_scores

from pets.audit import labels
from pets.audit.labels import Opinions, opinions


def clusters(classes: int, images: int, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """``images`` of each class around its own centre, that are hard to tell here and there."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((classes, 12)) * 2
    of_classes = np.repeat(np.arange(classes), images)
    noise = generator.standard_normal((len(of_classes), 12))
    return torch.from_numpy((centres[of_classes] + noise).astype(np.float32)), of_classes


def test_the_scores_are_of_cleanlabs_probabilities() -> None:
    generator = np.random.default_rng(1)
    of_images = generator.integers(0, 6, 400)
    logits = generator.standard_normal((400, 6)) * 2
    logits[np.arange(400), of_images] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    own = get_label_quality_scores(of_images, probabilities, method="self_confidence")
    margin = 1 - 2 * get_label_quality_scores(of_images, probabilities, method="normalized_margin")
    found = Opinions(probabilities, of_images, np.ones(400, bool))
    np.testing.assert_allclose(found.scores, (own + margin) / (2 * own + margin), atol=1e-9)


def test_wrong_labels_come_first() -> None:
    features, right = clusters(5, 60)
    wrong = np.random.default_rng(2).choice(len(right), 20, replace=False)
    given = right.copy()
    given[wrong] = (right[wrong] + 1) % 5
    found = opinions(features, given, np.arange(len(given)), [1e-2, 1e-1], seed=7)
    first = np.argsort(-found.scores)[:20]
    assert len({*first} & {*wrong}) >= 18
    hits = (found.scores > 0.9) & (given != right)
    assert (found.other[hits] == right[hits]).mean() > 0.95


def test_a_group_is_left_out_together() -> None:
    given = clusters(4, 30)[1]
    groups = np.repeat(np.arange(60), 2)
    fold = labels._folds(given, groups, seed=3)
    assert (fold[0::2] == fold[1::2]).all()
    for label in range(4):
        assert np.ptp(np.bincount(fold[given == label], minlength=labels.FOLDS)) <= 2


def test_where_each_class_is_one_group_nothing_is_known() -> None:
    features, given = clusters(3, 4)
    found = opinions(features, given, given, [1e-2], seed=7)
    assert (found.scores == 0).all()


def test_with_fewer_images_than_dimensions_the_axes_are_the_same() -> None:
    features = torch.from_numpy(np.random.default_rng(0).standard_normal((20, 50)).astype(np.float32))
    wide, centred = labels._reduced(features), features - features.mean(0)
    np.testing.assert_allclose(wide @ wide.T, centred @ centred.T, atol=1e-3)


def test_a_class_of_one_image_is_not_suspected() -> None:
    features, given = clusters(3, 30)
    given[0] = 3
    found = opinions(features, given, np.arange(len(given)), [1e-2], seed=7)
    assert not found.known[0]
    assert found.scores[0] == 0

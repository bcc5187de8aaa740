"""Evaluations as `evaluate` writes them, from probabilities that a test (or a person) has at hand.

Everything is computed from the probabilities, so the files agree with each other as the real ones do.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from pets.dataset import file_stem

CATS = ("Abyssinian", "Bengal", "Birman", "Ragdoll", "Siamese")
DOGS = ("american_bulldog", "beagle", "boxer", "pug", "saint_bernard")


def breeds() -> dict[str, str]:
    """Ten breeds and their species."""
    return dict.fromkeys(CATS, "cat") | dict.fromkeys(DOGS, "dog")


def probabilities(truth: np.ndarray, k: int, strength: float, seed: int) -> np.ndarray:
    """Softmax of noisy scores that favour the true class by ``strength``; N x K."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(len(truth), k))
    scores[np.arange(len(truth)), truth] += strength
    scores *= 1.6
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def write_evaluation(
    folder: Path,
    species: dict[str, str],
    image_ids: list[str],
    truth: np.ndarray,
    p: np.ndarray,
    validation: list[tuple[str, str, float, float, bool]],
    provenance: dict[str, Any],
    thumbnails: dict[str, bytes] | None = None,
) -> None:
    """Write every file of one evaluation. ``truth``: N indices into ``species``; ``p``: N x K."""
    folder.mkdir(parents=True)
    labels = np.array(list(species), dtype=object)
    kinds = np.array(list(species.values()), dtype=object)
    predicted = p.argmax(axis=1)
    table = pd.DataFrame(
        {
            "image_id": image_ids,
            "label": labels[truth],
            "species": kinds[truth],
            "predicted": labels[predicted],
            "predicted_species": kinds[predicted],
            "probability": p.max(axis=1),
            "correct": predicted == truth,
            "probabilities": list(p),
        }
    )
    table.to_parquet(folder / "predictions.parquet", index=False)
    table[["label", "predicted"]].rename(columns={"label": "actual"}).to_csv(
        folder / "confusion.csv", index=False
    )
    scores = _scores(p, truth, kinds, provenance["label_name"])
    (folder / "scores.json").write_text(json.dumps(scores))
    headline = {
        key: scores[provenance["label_name"]][key]["value"] for key in ("top1", "mean_per_class", "nll")
    }
    if "species" in scores:
        headline["species_top1"] = scores["species"]["top1"]["value"]
    (folder / "metrics.json").write_text(json.dumps(headline))

    bins = np.minimum((table["probability"] * 15).astype(int), 14)
    rows = [
        (part["probability"].mean(), part["correct"].mean(), len(part))
        for part in (table[bins == i] for i in range(15))
        if len(part)
    ]
    pd.DataFrame(rows, columns=["confidence", "accuracy", "images"]).to_csv(
        folder / "reliability.csv", index=False
    )

    per_class: list[tuple] = []
    for label, kind in species.items():
        right = table.loc[table["label"] == label, "correct"]
        if len(right):
            wilson = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
            per_class.append((label, kind, right.mean(), wilson.low, wilson.high, len(right)))
        else:
            per_class.append((label, kind, None, None, None, 0))
    columns = ["label", "species", "accuracy", "low", "high", "images"]
    pd.DataFrame(per_class, columns=columns).to_csv(folder / "per_class.csv", index=False)

    wrong = table[~table["correct"]].sort_values("probability", ascending=False)
    totals = Counter(table["label"])
    pairs = Counter(zip(wrong["label"], wrong["predicted"], strict=True)).most_common()
    pd.DataFrame(
        [(a, b, n, n / totals[a]) for (a, b), n in pairs], columns=["actual", "predicted", "images", "share"]
    ).to_csv(folder / "confused_pairs.csv", index=False)

    (folder / "mistakes").mkdir()
    for i, image_id in enumerate(wrong["image_id"].head(24), start=1):
        target = folder / "mistakes" / f"{i:02}_{file_stem(image_id)}.jpg"
        if thumbnails:
            target.write_bytes(thumbnails[image_id])
        else:
            Image.new("RGB", (40, 30), (37 * i % 256, 90, 140)).save(target)

    pd.DataFrame(validation, columns=["setting", "parameter", "top1", "nll", "chosen"]).to_csv(
        folder / "validation.csv", index=False
    )
    (folder / "provenance.json").write_text(json.dumps(provenance))


def write_curve(file: Path, best: float) -> None:
    """A learning curve of two draws, which ends at ``best`` with 7.5 images of each class."""
    points = [(size, draw, 0.5 * best + size * best / 15 + draw / 50) for size in (1, 5) for draw in (0, 1)]
    table = pd.DataFrame([*points, (7.5, 0, best)], columns=["images_per_class", "draw", "top1"])
    file.parent.mkdir(parents=True, exist_ok=True)
    table.assign(images=10, mean_per_class=table["top1"]).to_csv(file, index=False)


def write_unknown(folder: Path, labels: list[str]) -> None:
    """What the stage `unknown` writes: the second of two scores is chosen."""
    rows = [
        (unknown, score, 40, auroc, auroc - 0.03, auroc + 0.02, called, 0.96, -1.5, score == "max_logit")
        for unknown, auroc, called in (("textures", 0.97, 0.93), ("classes left out", 0.81, 0.35))
        for score in ("energy", "max_logit")
    ]
    columns = ["unknown", "score", "images", "auroc", "low", "high", "called_unknown", "known_pass"]
    folder.mkdir(parents=True)
    pd.DataFrame(rows, columns=[*columns, "threshold", "chosen"]).to_csv(folder / "auroc.csv", index=False)
    classes = {
        "label": labels,
        "images": 12,
        "auroc": np.linspace(0.6, 0.9, len(labels)),
        "called_unknown": 0.3,
    }
    pd.DataFrame(classes).to_csv(folder / "classes.csv", index=False)
    bins = [(name, low, low + 1, 1 / 8) for name in ("test", "textures") for low in range(-8, 0)]
    pd.DataFrame(bins, columns=["pictures", "from", "to", "share"]).to_csv(
        folder / "histogram.csv", index=False
    )


def write_tricks(folder: Path) -> None:
    """What the stage `tricks` writes: with the MLP Adam helps, and zeros never have a finite loss."""
    effects, runs, curves = [], [], []
    columns = ["network", "trick", "added_to", "effect", "low", "high", "failed"]
    for values in (
        ("mlp", "mlp", "plain", 0.01, -0.01, 0.03, 0),
        ("linear", "zeros", "plain", -0.3, -0.32, -0.28, 0),
        ("linear", "standardized", "plain", 0.001, -0.004, 0.006, 0),
        ("linear", "adam", "plain", -0.02, -0.03, -0.01, 0),
        ("mlp", "zeros", "plain", None, None, None, 3),
        ("mlp", "standardized", "plain", 0.0, 0.0, 0.0, 0),
        ("mlp", "adam", "plain", 0.012, 0.004, 0.02, 1),
        ("mlp", "all", "plain", 0.014, 0.006, 0.022, 0),
        ("mlp", "standardized", "others", 0.001, -0.001, 0.003, 0),
        ("mlp", "adam", "others", 0.006, 0.002, 0.01, 0),
    ):
        row = dict(zip(columns, values, strict=True))
        given = {"rate": 0.1, "validation": 0.8, "accuracy": 0.8, "validation_effect": 0.01, "seeds": 3}
        effects.append(given | row | {"p": None if row["low"] is None else 0.01})
    for network in ("linear", "mlp"):
        alone = [("alone", name) for name in ("zeros", "standardized", "adam")]
        joined = [("all", "all"), ("without", "standardized"), ("without", "adam")]
        for role, name in [("plain", "plain"), *alone, *(joined if network == "mlp" else [])]:
            of = {"network": network, "role": role, "trick": name}
            broken = (network, name) == ("mlp", "zeros")
            for seed in range(3):
                scores = {"rate": 0.1, "validation": 0.8, "test": 0.7, "finite": not broken}
                runs.append({**of, "seed": seed, **scores})
            for epoch in (1, 2, 3):
                loss = None if broken else 3 / epoch
                curves.append({**of, "epoch": epoch, "train": loss, "validation": loss})
    folder.mkdir(parents=True)
    for file, rows in (("effects", effects), ("runs", runs), ("curves", curves)):
        pd.DataFrame(rows).to_csv(folder / f"{file}.csv", index=False)


def write_audit(folder: Path, image_ids: Sequence[str], labels: Sequence[str]) -> None:
    """A leak, a doubted label and an outlier, of which a person kept the last."""
    folder.mkdir(parents=True)
    one, other, *_ = image_ids
    rows = [
        ("duplicate", 0.97, one, "test", labels[0], other, "train", labels[0], "mirrored", ""),
        ("label", 0.8, one, "test", labels[0], "", "", labels[1], "85.0%", ""),
        ("outlier", 0.6, other, "test", labels[0], "", "", "", "", "keep"),
    ]
    columns = ["kind", "score", "image_id", "split", "label", "other", "other_split", "other_label"]
    table = pd.DataFrame(rows, columns=[*columns, "detail", "verdict"])
    table.to_csv(folder / "audit.csv", index=False)


def write_without(file: Path) -> None:
    """The metrics without some images: 1 point lower in each."""
    file.parent.mkdir(parents=True, exist_ok=True)
    metrics = [
        (metric, 23, 0.9, 0.8, 0.95, -0.01, -0.02, 0.0, without, left_out)
        for without, left_out in (("none", 0), ("leaked images", 1), ("suspected labels", 1), ("both", 1))
        for metric in ("top1", "mean_per_class", "nll")
    ]
    names = ["metric", "images", "value", "low", "high", "difference", "difference_low", "difference_high"]
    pd.DataFrame(metrics, columns=[*names, "without", "left_out"]).to_csv(file, index=False)


def write_attack(folder: Path, labels: list[str], image_ids: list[str]) -> None:
    """What the report reads of one attack: two pictures by PGD, one of them by FGSM, which fails."""
    (folder / "tiles").mkdir(parents=True)
    examples, figures = [], []
    for number, (image, attack) in enumerate(((0, "PGD"), (1, "PGD"), (0, "FGSM")), start=1):
        facts = {
            "goal": "to its closest class", "attack": attack, "constraint": "L-infinity at most 4/255",
            "image_id": image_ids[image], "label": labels[0], "truth": labels[0], "target": labels[-1],
            "steps": number, "non_finite": False, "surrogate": False,
            "fooled_before_saving": True, "fooled": attack == "PGD",
            "truth_before": 0.9, "target_before": 0.01, "truth_after": 0.02, "target_after": 0.95,
            "l2_before_saving": 0.4, "l2": 0.5, "levels": 4, "name": f"{number:03}", "factor": 31,
        }  # fmt: skip
        examples.append(facts)
        tiles = [{"file": f"{number:03}-{place:02}.jpg", "lines": []} for place in (1, 2, 3)]
        for place, tile in enumerate(tiles):
            Image.new("RGB", (24, 24), (60 * number, 90 * place, 140)).save(folder / f"tiles/{tile['file']}")
        caption = f"{image_ids[image]}: {labels[0]} classified as {labels[-1]}, {attack}."
        figures.append({"name": f"{number:03}", "caption": caption, "tiles": tiles})
    (folder / "tiles/figures.json").write_text(json.dumps(figures))
    pd.DataFrame(examples).to_csv(folder / "examples.csv", index=False)
    curve = [
        {"attack": attack, "epsilon": level / 255, "images": 40, "robust": robust, "low": robust / 2,
         "high": robust, "saved": saved, "saved_low": saved / 2, "saved_high": saved,
         "non_finite": int(level == 1)}
        for attack, drop in (("PGD", 0.5), ("APGD", 0.45))
        for level, robust, saved in ((0, 0.9, 0.9), (0.5, drop, 0.9), (1, 0.0, 0.1))
    ]  # fmt: skip
    pd.DataFrame(curve).to_csv(folder / "robustness.csv", index=False)
    methods = [
        {"attack": attack, "images": 2, "fooled": fooled, "fooled_before_saving": 1.0, "l2": 0.5,
         "l2_before_saving": 0.4, "steps": 2.0}
        for attack, fooled in (("PGD", 1.0), ("FGSM", 0.0))
    ]  # fmt: skip
    pd.DataFrame(methods).to_csv(folder / "attacks.csv", index=False)
    robust = {"0/255": 0.9, "0.5/255": 0.5, "1/255": 0.0}
    summary = {
        "fooled": {"to its closest class": 1.0},
        "surrogate": folder.name == "knn",
        "gallery": {"wanted": 2, "found": {"dog to cat": 0, "to its closest class": 2}},
        "robust_accuracy": robust,
        "robust_accuracy_pgd": robust,
        "masked": [],
        "non_finite": 0,
    }
    (folder / "summary.json").write_text(json.dumps(summary))


def write_transfer(folder: Path, backbones: Sequence[str]) -> None:
    """The transfer results of a head on every backbone."""
    for target in backbones:
        rows = [
            {"source": source, "target": target, "epsilon": 8 / 255, "images": 12,
             "fooled": float(source == target), "low": 0.0, "high": 1.0}
            for source in (*backbones, "random noise")
        ]  # fmt: skip
        (folder / "results" / target).mkdir(parents=True)
        pd.DataFrame(rows).to_csv(folder / "results" / target / "transfer.csv", index=False)


def _scores(p: np.ndarray, truth: np.ndarray, kinds: np.ndarray, label_name: str) -> dict[str, dict]:
    tasks = {label_name: (p, truth)}
    if kinds[0]:
        names, of = np.unique(kinds, return_inverse=True)
        grouped = np.stack([p[:, of == i].sum(axis=1) for i in range(len(names))], axis=1)
        tasks["species"] = (grouped, of[truth])
    random = np.random.default_rng(0)
    samples = [random.integers(len(truth), size=len(truth)) for _ in range(30)]
    scores = {}
    for task, (q, t) in tasks.items():
        resampled = [_score(q[each], t[each], top5=task == label_name) for each in samples]
        scores[task] = {
            key: dict(
                zip(
                    ("value", "low", "high"),
                    [value, *map(float, np.quantile([each[key] for each in resampled], [0.025, 0.975]))],
                    strict=True,
                )
            )
            for key, value in _score(q, t, top5=task == label_name).items()
        }
    return scores


def _score(p: np.ndarray, truth: np.ndarray, top5: bool) -> dict[str, float]:
    predicted, confidence = p.argmax(axis=1), p.max(axis=1)
    right = predicted == truth
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = [abs((right - confidence)[bins == i].sum()) for i in range(15)]
    scores = {"top1": right.mean()}
    if top5:
        scores["top5"] = (np.argsort(p, axis=1)[:, -5:] == truth[:, None]).any(axis=1).mean()
    scores |= {
        "mean_per_class": np.mean([right[truth == c].mean() for c in np.unique(truth)]),
        "macro_f1": f1_score(truth, predicted, average="macro"),
        "nll": -np.log(p[np.arange(len(truth)), truth]).mean(),
        "ece": sum(gaps) / len(truth),
    }
    return {key: float(score) for key, score in scores.items()}


def provenance(
    dataset: str, backbone: str, head: str, species: dict[str, str], test: int, **other: Any
) -> dict:
    """A provenance.json; keywords replace its entries."""
    return {
        "dataset": dataset,
        "source": "oxford-iiit-pet",
        "synthetic": False,
        "from_imagenet": False,
        "label_name": "breed",
        "classes": list(species),
        "archives": [
            {
                "name": "images",
                "url": "https://example.org/images.tar.gz",
                "md5": "5c4f3ee8e5d25df40f4fd59a7f44e54c",
                "bytes": 791918971,
            },
            {
                "name": "annotations",
                "url": "https://example.org/annotations.tar.gz",
                "md5": "95a8c909bbe2e81eed6a22bccdf3f68f",
                "bytes": 19173078,
            },
        ],
        "images": {
            "listed": 3 * test + 1,
            "usable": 3 * test,
            "unreadable": [{"image_id": "boxer_7", "reason": "cut off after 1,024 bytes"}],
            "duplicates": [["pug_1", "pug_2"], ["pug_3", "pug_4"]],
            "duplicates_across_splits": [["pug_1", "pug_2"]],
            "duplicates_across_labels": [],
            "content": "0c" * 32,
            "train": test,
            "val": test,
            "test": test,
        },
        "backbone": {
            "backbone": backbone,
            "weights_file": "network-0f0f0f0f.pth",
            "weights_sha256": "0f" * 32,
            "layer": "pooled output of the last convolution",
            "dimensions": 1280,
            "preprocessing": {
                "resize": 256,
                "crop": 224,
                "mean": [0.485, 0.456, 0.406],
                "interpolation": "bicubic",
            },
            "precision": "float32",
            "views": 2,
            "dtype": "float16",
            "images": 3 * test,
            "devices": ["CPU"],
        },
        "head": {
            "head": head,
            "chosen": {"penalty": 0.01},
            "calibration": {"temperature": 1.12, "prior_strength": 0.25},
        },
        "params": {"split": {"seed": 1, "val_fraction": 0.2}, "evaluate": {"resamples": 1000}},
        "versions": {"python": "3.11.7", "torch": "2.14.1"},
    } | other

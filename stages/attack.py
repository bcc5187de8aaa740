"""Attack one backbone and head: adversarial pictures of test images, and what accuracy is left under it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import Field, NonNegativeInt, PositiveInt

from stages import params
from stages.attacks import figure, gallery, robustness
from stages.attacks.epsilon import Epsilon, in_levels
from stages.attacks.gallery import Outcome
from stages.attacks.objective import canvas, cut
from stages.attacks.parts import in_parts
from stages.attacks.pgd import pgd, step_within
from stages.attacks.reread import save
from stages.attacks.smallest import in_eight_bits
from stages.attacks.victim import Victim, load
from stages.door import open_door
from stages.embeddings import store
from stages.engines.eager import Device
from stages.files import read_json, whole, write_json
from stages.images.decoding import decode
from stages.images.preprocessing import to_tensor
from stages.params import Section
from stages.progress import bar

PANEL = 224  # longest side of the report's pictures, pixels


class Curve(Section):
    """Robust accuracy against epsilon."""

    images: PositiveInt
    epsilons: list[Epsilon] = Field(min_length=1)
    steps: PositiveInt
    reference_steps: PositiveInt
    reference_restarts: NonNegativeInt


class Transfer(Section):
    """Pictures made here, to be tried on the other backbones."""

    images: PositiveInt
    epsilon: Epsilon
    steps: PositiveInt


class Settings(Section):
    """The section ``attack`` of params.yaml."""

    gallery: NonNegativeInt
    epsilon: Epsilon
    epsilon_l2: float = Field(gt=0)
    steps: PositiveInt
    total_variation: float = Field(ge=0)
    smallest_steps: PositiveInt
    curve: Curve
    transfer: Transfer


def main(dataset: str, backbone: str, head: str) -> None:
    """Write attacks/<dataset>/<backbone>/<head>."""
    settings = params.read("attack", Settings)
    seed = params.read("seed", int)
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    data = Path("data", dataset)
    vectors = store.read(data / "embeddings" / backbone)
    victim = load(Path("models", dataset, backbone, head), backbone, weights, device, vectors.card)
    test = test_images(data, seed)
    probabilities = victim.of(torch.from_numpy(vectors.of(test["image_id"]))).numpy()

    with whole(Path("attacks", dataset, backbone, head)) as folder:
        for name in ("gallery", "pictures", "panels", "transfer"):
            (folder / name).mkdir(parents=True)
        goals = gallery.goals(test, probabilities, victim.classes, settings.gallery)
        outcomes = attack_goals(victim, goals, settings, data / "raw", folder / "pictures")
        drawn = read_json(data / "origin.json")["drawn"]
        draw(outcomes, f"{backbone}, {head} head", drawn, folder)
        curve = measure(victim, test, probabilities, settings.curve, data / "raw", seed)
        export(victim, test, settings.transfer, data / "raw", folder / "transfer")
        examples = pd.DataFrame([each.facts for each in outcomes])
        examples.to_csv(folder / "examples.csv", index=False, lineterminator="\n")
        curve.to_csv(folder / "robustness.csv", index=False, lineterminator="\n")
        compare(outcomes).to_csv(folder / "attacks.csv", index=False, lineterminator="\n")
        sizes = {goal.name: len(goal.images) for goal in goals}
        metrics = summarize(outcomes, curve) | {
            "gallery": {"wanted": settings.gallery, "found": sizes},
            "stand_in": victim.probe.has_stand_in,
        }
        write_json(folder / "metrics.json", metrics)
    for goal in goals:
        if len(goal.images) < settings.gallery:
            print(f"{goal.name}: only {len(goal.images)} test images are read rightly, so no more are shown")
    for name, share in metrics["robust_accuracy"].items():
        print(f"robust accuracy at L-infinity {name}: {share:.3f}")


def test_images(data: Path, seed: int) -> pd.DataFrame:
    """The test images, image_id, label, species and path, in an order drawn by the seed."""
    splits = pd.read_parquet(data / "splits.parquet")
    paths = pd.read_parquet(data / "catalog.parquet", columns=["image_id", "path"])
    test = splits[splits["split"] == "test"].merge(paths, on="image_id", validate="one_to_one")
    return test.sort_values("image_id").sample(frac=1, random_state=seed).reset_index(drop=True)


def read_pictures(test: pd.DataFrame, raw: Path) -> list[torch.Tensor]:
    """Pictures uint8 [3, height, width]."""
    return [to_tensor(decode((raw / path).read_bytes()).pixels) for path in test["path"]]


def labels_of(test: pd.DataFrame, victim: Victim) -> torch.Tensor:
    """Each image's class, int64 [n]."""
    return torch.from_numpy(pd.Categorical(test["label"], categories=victim.classes).codes.astype(np.int64))


def attack_goals(
    victim: Victim, goals: list[gallery.Goal], settings: Settings, raw: Path, pictures: Path
) -> list[Outcome]:
    """The first attack on every goal, and all attacks on the first that has pictures, to compare them."""
    methods = gallery.methods(
        settings.epsilon,
        settings.epsilon_l2,
        settings.steps,
        settings.total_variation,
        settings.smallest_steps,
    )
    filled = [goal for goal in goals if len(goal.images)]
    plan = [(goal, methods if goal is filled[0] else methods[:1]) for goal in filled]
    total = sum(len(goal.images) * len(chosen) for goal, chosen in plan)
    outcomes = []
    with bar(total, "adversarial pictures", "pictures") as progress:
        for goal, chosen in plan:
            outcomes += gallery.attack(victim, goal, chosen, raw, pictures, progress.update)
    return outcomes


def draw(outcomes: list[Outcome], model: str, drawn: bool, folder: Path) -> None:
    """Each outcome as a figure in gallery/, and its three pictures, small, in panels/ for the report."""
    for number, outcome in enumerate(outcomes, start=1):
        facts = outcome.facts
        change, factor = figure.magnified(outcome.original, outcome.result)
        facts |= {"name": f"{number:03}", "factor": factor}
        facts["caption"] = figure.caption(facts, model, drawn)
        panels = {"original": outcome.original, "change": change, "result": outcome.result}
        for kind, pixels in panels.items():
            image = Image.fromarray(pixels)
            image.thumbnail((PANEL, PANEL), Image.Resampling.LANCZOS)
            image.save(folder / "panels" / f"{number:03}_{kind}.webp", quality=82)
        name = gallery.file_name(facts["goal"], facts["attack"], facts["image_id"])
        strip = figure.strip(list(panels.values()), figure.titles(facts), facts["caption"])
        strip.save(folder / "gallery" / f"{number:03}_{name}.png")


def measure(
    victim: Victim, test: pd.DataFrame, probabilities: np.ndarray, settings: Curve, raw: Path, seed: int
) -> pd.DataFrame:
    """The robustness curve on the first of the test images."""
    chosen = test.head(settings.images)
    labels = labels_of(chosen, victim)
    clean = torch.from_numpy(probabilities[: len(chosen)].argmax(1)) == labels
    attackers = robustness.attackers(
        settings.steps, settings.reference_steps, settings.reference_restarts, seed
    )
    pictures = read_pictures(chosen, raw)
    return robustness.curve(victim, pictures, labels, clean, settings.epsilons, attackers)


def export(victim: Victim, test: pd.DataFrame, settings: Transfer, raw: Path, folder: Path) -> None:
    """Untargeted pictures that go on to the last step, for `transfer` to try on other backbones."""
    chosen = test.head(settings.images)
    labels = labels_of(chosen, victim)
    pictures = read_pictures(chosen, raw)
    with bar(len(chosen), "pictures to transfer") as progress:

        def work(part: list[int]) -> None:
            originals, sizes = canvas([pictures[row] for row in part])
            found = pgd(
                victim.misread(sizes, labels[part], targeted=False),
                originals,
                norm="linf",
                epsilon=settings.epsilon,
                step=step_within(settings.epsilon),
                steps=settings.steps,
                sure=float("inf"),
            )
            saved = in_eight_bits(found.images, originals, settings.epsilon)
            for picture, image_id in zip(cut(saved, sizes), chosen["image_id"].iloc[part], strict=True):
                save(picture, folder / f"{image_id}.png")
            progress.update(len(part))

        in_parts([(each.shape[1], each.shape[2]) for each in pictures], victim.engine, work)


def compare(outcomes: list[Outcome]) -> pd.DataFrame:
    """Each attack on the pictures of the first goal that has any: a row of shares and medians."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for each in outcomes:
        if each.facts["goal"] == outcomes[0].facts["goal"]:
            rows.setdefault(each.facts["attack"], []).append(each.facts)
    return pd.DataFrame(
        [
            {
                "attack": attack,
                "images": len(facts),
                "fooled": np.mean([each["fooled"] for each in facts]),
                "fooled_before_saving": np.mean([each["fooled_before_saving"] for each in facts]),
                "l2": np.median([each["l2"] for each in facts]),
                "l2_before_saving": np.median([each["l2_before_saving"] for each in facts]),
                "steps": np.median([each["steps"] for each in facts]),
            }
            for attack, facts in rows.items()
        ],
        columns=["attack", "images", "fooled", "fooled_before_saving", "l2", "l2_before_saving", "steps"],
    )


def summarize(outcomes: list[Outcome], curve: pd.DataFrame) -> dict[str, Any]:
    """The headline numbers, for git: the share fooled for each goal, and robust accuracy for each epsilon.

    ``lost_in_saving`` is the share, of all pictures by all attacks that fooled, that saving mended.
    """
    shown: dict[str, list[bool]] = {}
    for each in outcomes:
        if each.facts["attack"] == outcomes[0].facts["attack"]:
            shown.setdefault(each.facts["goal"], []).append(each.facts["fooled"])
    lost = [not each.facts["fooled"] for each in outcomes if each.facts["fooled_before_saving"]]
    robust = {
        str(attack): {
            in_levels(epsilon): share for epsilon, share in zip(rows["epsilon"], rows["robust"], strict=True)
        }
        for attack, rows in curve.groupby("attack", sort=False)
    }
    return {
        "fooled": {goal: sum(fooled) / len(fooled) for goal, fooled in shown.items()},
        "lost_in_saving": sum(lost) / len(lost) if lost else 0.0,
        "robust_accuracy": robust["PGD"],
        "robust_accuracy_reference": robust["APGD"],
        "given_up": int(curve["given_up"].sum()) + sum(each.facts["given_up"] for each in outcomes),
    }


if __name__ == "__main__":
    open_door(main)

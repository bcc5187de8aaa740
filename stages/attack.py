"""Attack one backbone and head: adversarial pictures of test images, and the accuracy left under attack."""

from pathlib import Path

import pandas as pd

from pets.attacks import figures, robustness, transfer
from pets.attacks.gallery import attack_goals
from pets.attacks.goals import choose_goals
from pets.attacks.methods import methods
from pets.attacks.settings import Settings
from pets.attacks.summary import compare, summarize
from pets.classifier.classifier import load
from pets.core import params
from pets.core.files import atomic, write_json
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.embeddings.features import features_of
from pets.engines.device import Device
from pets.galleries.figures import write


def main(dataset: str, backbone: str, head: str) -> None:
    """Write attacks/<dataset>/<backbone>/<head> and transfers/<dataset>/<head>/pictures/<backbone>."""
    settings = params.read("attack", Settings)
    seed = params.read("seed", int)
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    data = Dataset(dataset)
    classifier = load(data.model(backbone, head), weights, device)
    test = data.shuffled("test", seed)
    features = features_of(data, backbone, test["image_id"])
    probabilities = classifier.head.probabilities(features).numpy()
    goals = choose_goals(test, probabilities, classifier.classes, settings.gallery)

    with atomic(Path("attacks", dataset, backbone, head)) as folder:
        (folder / "pictures").mkdir(parents=True)
        outcomes = attack_goals(classifier, goals, methods(settings), data.raw, folder / "pictures")
        write(folder, figures.draw(outcomes, f"{backbone}, {head} head", data.origin()["synthetic"]))
        curve = robustness.measure(classifier, test, probabilities, settings.curve, data.raw, seed)
        examples = pd.DataFrame([each.facts for each in outcomes])
        for name, table in (("examples", examples), ("attacks", compare(examples)), ("robustness", curve)):
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        summary = summarize(examples, curve, goals, settings.gallery, classifier.head.has_surrogate)
        write_json(folder / "summary.json", summary)
    with atomic(Path("transfers", dataset, head, "pictures", backbone)) as folder:
        folder.mkdir()
        transfer.make_pictures(classifier, test, settings.transfer, data.raw, folder)

    for goal in goals:
        if len(goal.images) < settings.gallery:
            print(f"{goal.name}: only {len(goal.images)} test images are classified correctly; all are shown")
    for epsilon, share in summary["robust_accuracy"].items():
        masked = ", masked: PGD alone leaves much more" if epsilon in summary["masked"] else ""
        print(f"robust accuracy at L-infinity {epsilon}: {share:.3f}{masked}")


if __name__ == "__main__":
    run_stage(main)

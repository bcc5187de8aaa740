"""A comparison as JSON, for other programs: every number, unrounded."""

import json

from pets.comparison.result import Comparison, Pair


def render(comparison: Comparison) -> str:
    """JSON text: verdict, pairs with their tests, metrics and images, parameters that changed."""
    content = {
        "old": comparison.old,
        "new": comparison.new,
        "verdict": comparison.verdict,
        "notes": comparison.notes,
        "pairs": [_pair(each) for each in comparison.pairs],
        "only_old": [str(each) for each in comparison.only_old],
        "only_new": [str(each) for each in comparison.only_new],
        "params": {change.key: {"old": change.old, "new": change.new} for change in comparison.params},
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _pair(pair: Pair) -> dict[str, object]:
    shown: dict[str, object] = {
        "old": str(pair.pairing.old),
        "new": str(pair.pairing.new),
        "synthetic": pair.synthetic,
        "metrics": {"old": pair.old_metrics, "new": pair.new_metrics},
        "not_tested": pair.missing or None,
    }
    if pair.paired:
        shown |= {
            "images": len(pair.paired.images),
            "gained": list(pair.paired.gained["image_id"]),
            "lost": list(pair.paired.lost["image_id"]),
            "tests": [
                {
                    "metric": test.metric.key,
                    "old": test.old,
                    "new": test.new,
                    "interval": test.interval,
                    "p": test.p,
                    "p_corrected": test.corrected,
                    "verdict": test.verdict,
                }
                for test in pair.tests
            ],
        }
    return shown

"""The model card (Mitchell et al.: Model cards for model reporting, FAT* 2019), in Markdown."""

from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from pets.core.files import read_json
from pets.dataset import Dataset
from pets.galleries.figures import display_name


def render(
    data: Dataset, backbone: str, head: str, properties: dict[str, Any], compared: pd.DataFrame
) -> str:
    """From what evaluate, unknown and attack measured of the model."""
    evaluation = data.evaluation(backbone, head)
    robust = pd.read_csv(Path("attacks", data.name, backbone, head, "robustness.csv"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 (Markdown; `plain` takes its marks out of names)
    )
    environment.filters |= {"plain": _plain, "readable": display_name, "percent": "{:.1%}".format}
    return environment.get_template("card.md.j2").render(
        properties=properties,
        provenance=read_json(evaluation / "provenance.json"),
        scores=read_json(evaluation / "scores.json"),
        per_class=pd.read_csv(evaluation / "per_class.csv", dtype={"label": str}, keep_default_na=False),
        unknown=pd.read_csv(data.unknown(backbone, head) / "auroc.csv").query("chosen"),
        robust=robust[robust["attack"] == "APGD"],
        compared=compared,
    )


def _plain(text: object) -> str:
    """Text in a Markdown table: no mark of a name or an address starts anything."""
    return "".join(
        f"\\{each}" if each in r"\`*_{}[]<>()#+-!|~" else each for each in " ".join(str(text).split())
    )

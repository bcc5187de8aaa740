"""The stage `audit` in a finished run, and a correction as a user makes it."""

import io

import pandas as pd
from PIL import Image

from tests.conftest import BACKBONE, HEADS, Workspace, stages_run

AUDIT = f"audit@sample-{BACKBONE}"


def suspects(workspace: Workspace) -> pd.DataFrame:
    return pd.read_csv(workspace.path / "suspects" / "sample" / BACKBONE / "audit.csv", keep_default_na=False)


def test_every_head_has_its_metrics_without_suspects(finished: Workspace) -> None:
    folder = finished.path / "without_suspects" / "sample" / BACKBONE
    table = pd.concat(pd.read_csv(folder / f"{head}.csv") for head in HEADS)
    assert set(table["without"]) == {"none", "leaked images", "suspected labels", "both"}
    test = pd.read_parquet(finished.path / "data" / "sample" / "splits.parquet")["split"].eq("test").sum()
    assert (table["images"] + table["left_out"] == test).all()
    page = (finished.path / "reports" / "index.html").read_text("utf-8")
    assert "Can the data be trusted?" in page


def test_a_leak_is_found_and_a_decision_takes_it_out(sample: Workspace) -> None:
    splits = pd.read_parquet(sample.path / "data" / "sample" / "splits.parquet")
    test, train = (splits[splits["split"] == each]["image_id"].iloc[0] for each in ("test", "train"))
    raw = sample.path / "data" / "sample" / "raw" / "images"
    picture = Image.open(io.BytesIO((raw / f"{test}.jpg").read_bytes())).convert("RGB")
    width, height = picture.size
    (raw / f"{train}.jpg").unlink()  # a hard link to DVC's cache
    picture.crop((0, 0, width * 9 // 10, height * 9 // 10)).save(raw / f"{train}.jpg", quality=70)
    sample.run("dvc", "commit", "--force", "download@sample")
    of_head = f"without_suspects@sample-{BACKBONE}-{HEADS[0]}"
    output = sample.run("dvc", "repro", of_head)
    assert {AUDIT, of_head} <= stages_run(output)
    table = suspects(sample)
    pair = table[(table["kind"] == "duplicate") & (table["image_id"] == test) & (table["other"] == train)]
    assert len(pair) == 1
    assert pair["score"].iloc[0] > 0.9
    without = pd.read_csv(sample.path / "without_suspects" / "sample" / BACKBONE / f"{HEADS[0]}.csv")
    left_out = without.groupby("without")["left_out"].first()
    leaks, labels = left_out["leaked images"], left_out["suspected labels"]
    assert leaks >= 1
    assert f"{leaks} leaked images, {labels} suspected labels among the test images" in output

    decisions = sample.path / "audits" / "sample.csv"
    decisions.write_text(f"image,verdict,label,who,why\n{train},drop,,Ada,a crop of {test}\n", "utf-8")
    sample.run("dvc", "repro", "split@sample")
    after = pd.read_parquet(sample.path / "data" / "sample" / "splits.parquet")
    pd.testing.assert_frame_equal(after, splits[splits["image_id"] != train].reset_index(drop=True))
    decisions.write_text("image,verdict,label,who,why\nnobody,drop,,Ada,\n", "utf-8")
    output = sample.run("dvc", "repro", "split@sample", fails=True)
    assert "audits/sample.csv: 'nobody' is no image of sample that can be used." in output
    assert "Traceback" not in output

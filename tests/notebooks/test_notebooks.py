"""Every notebook runs afresh, and is committed with the outputs that it has then."""

import functools
import json
import re
from pathlib import Path

import nbformat
import pytest

from notebooks import headline, recipe_curve
from notebooks.execute import METADATA, ROOT, execute
from strideflax import results
from strideflax.operators.table import DOWNSAMPLERS
from strideflax.training.result import TrainingResult

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE = re.compile(r"/(home|root|tmp|usr|opt|work|Users|mnt|var)/|[A-Za-z]:\\\\|site-packages|Warning|Traceback")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@functools.cache
def committed(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


@functools.cache
def fresh(path: Path) -> nbformat.NotebookNode:
    return execute(path)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell: nbformat.NotebookNode) -> list[str]:
    """What a cell shows, e.g. ["stdout", "image/png"]."""
    return [
        output.name if output.output_type == "stream" else min(output.get("data", {"error": ""}))
        for output in cell.outputs
    ]


def printed(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_the_notebooks_are_there():
    assert {path.name[:2] for path in NOTEBOOKS} >= {"01", "02", "03", "04"}


@every_notebook
def test_it_runs_afresh_and_the_committed_outputs_are_of_the_same_kinds(path: Path):
    shown = [kinds(cell) for cell in code_cells(fresh(path))]
    assert any("image/png" in kind for kind in shown)
    assert not any("stderr" in kind for kind in shown)
    assert [kinds(cell) for cell in code_cells(committed(path))] == shown
    assert [cell.execution_count for cell in code_cells(committed(path))] == list(range(1, len(shown) + 1))


@every_notebook
def test_it_tells_nothing_of_the_machine_and_stays_small(path: Path):
    notebook = committed(path)
    assert notebook.metadata == METADATA
    assert not any(cell.metadata for cell in notebook.cells)
    for cell in code_cells(notebook):
        for output in cell.outputs:
            text = {kind: data for kind, data in output.get("data", {}).items() if kind != "image/png"}
            assert not MACHINE.search(json.dumps([text, output.get("text", ""), output.get("metadata", {})]))
    assert path.stat().st_size < 1_000_000


@every_notebook
def test_it_begins_with_what_the_reader_will_learn(path: Path):
    first = committed(path).cells[0]
    assert first.cell_type == "markdown"
    assert "in one minute" in first.source.lower()


def test_the_5x5_example_has_the_right_values():
    path = ROOT / "notebooks" / "01_what_stride_does.ipynb"
    assert printed(fresh(path)) == printed(committed(path))
    text = printed(committed(path))
    assert "[[ 6.93  7.92  8.91]\n [11.88 12.87 13.86]\n [16.83 17.82 18.81]]" in text
    assert "[[ 6.93  8.91]\n [16.83 18.81]]" in text
    assert text.count("loop, library and formula agree") == 2


def test_every_operator_of_the_table_is_in_the_pictures_or_said_to_be_left_out():
    words = re.findall(r"\w+", printed(fresh(ROOT / "notebooks" / "02_operators_in_pictures.ipynb")))
    assert set(DOWNSAMPLERS) <= set(words)


@pytest.mark.parametrize("name", headline.TABLES)
def test_the_tables_of_results_are_those_of_the_shipped_runs(name: str):
    page = headline.RESULTS.read_text()
    assert headline.with_table(page, name, headline.TABLES[name]()) == page


@pytest.mark.parametrize("study", headline.STUDIES)
def test_results_shows_the_gains_of_each_study(study: str):
    assert f"notebooks/gains_{study}.png" in headline.RESULTS.read_text()
    assert (ROOT / "notebooks" / f"gains_{study}.png").stat().st_size > 5000


def test_the_curve_of_a_run_is_a_table_of_some_epochs_and_a_picture():
    records = []
    for epoch in range(1, 8):
        record = {"epoch": epoch, "learning_rate": 0.4 / epoch, "train_accuracy": epoch / 10, "val_accuracy": 0.5}
        records.append(record)
    lines = recipe_curve.curve_table(records).splitlines()
    assert lines[0] == "| epoch | 1 | 2 | 3 | 4 | 5 | 6 |"
    assert lines[2] == "| learning rate at its end | 0.4 | 0.2 | 0.133 | 0.1 | 0.08 | 0.0667 |"
    assert lines[3] == "| training batches, augmented | 10.0 | 20.0 | 30.0 | 40.0 | 50.0 | 60.0 |"
    assert lines[4] == "| validation | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 |"
    drawing = recipe_curve.draw_curve(records, TrainingResult(status="finished", test_accuracy=0.6, seed=0))
    assert len(drawing.png) > 5000
    assert "validation" in drawing.svg
    assert "notebooks/recipe_curve.png" in headline.RESULTS.read_text()


def test_runs_of_two_studies_are_not_compared():
    runs = results.shipped("ablation_cifar10")
    cell = runs[(runs["augment.crop"] == 4) & runs["model.downsample"].isin(["strided_conv", "blur_pool"])].copy()
    assert "`blur_pool` | 83.46 %" in headline.gains_table(cell, "model.downsample", "strided_conv", "operator")
    cell.loc[cell["model.downsample"] == "blur_pool", "epochs"] = 3.0
    with pytest.raises(ValueError, match=r"by model\.downsample differ in epochs too"):
        headline.gains_table(cell, "model.downsample", "strided_conv", "operator")


def test_a_page_without_the_table_s_place_is_refused():
    with pytest.raises(ValueError, match="once, found 0"):
        headline.with_table("# strideflax", "shapes", "| a |")

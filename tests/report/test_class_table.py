"""The report's table by class, on made-up runs."""

from made_runs import accuracies

from strideflax.analysis.ablation import read_ablation
from strideflax.report.findings import find
from strideflax.report.tables import accuracy_table

VALUES = {"strided_conv": [0.6, 0.5], "blur_pool": [0.7, 0.8]}
IMAGES = (80, 20, 0)
CORRECT = {"strided_conv": ((60, 0), (40, 10)), "blur_pool": ((60, 10), (60, 20))}


def ablation(images=IMAGES, **changes):
    frame = accuracies(VALUES, **changes)
    frame["dataset_classes"] = [("cat", "dog <b>", "fox")] * len(frame)
    frame["test_by_class.images"] = [images] * len(frame)
    rows = zip(frame["model.downsample"], frame["seed"], strict=True)
    frame["test_by_class.correct"] = [(*CORRECT[name][seed], 0) for name, seed in rows]
    frame["test_balanced_accuracy"] = [sum(CORRECT[n][s][i] / IMAGES[i] for i in (0, 1)) / 2 for n, s in CORRECT_ORDER]
    return read_ablation(frame)


CORRECT_ORDER = [(name, seed) for name in VALUES for seed in (0, 1)]


def test_each_class_has_its_share_and_its_spread():
    (table,) = [
        table for table in find(ablation(), "a folder", []).further_tables if table.title == "Accuracy by class"
    ]
    assert table.titles == ["class", "test images", "strided_conv", "blur_pool"]
    cat, dog, fox = table.rows
    assert [cell.text for cell in cat] == ["cat", "80", "62.50", "75.00"]
    assert [cell.detail for cell in cat[2:]] == ["± 17.68", "± 0.00"]
    assert [cell.text for cell in dog] == ["dog <b>", "20", "25.00", "75.00"]
    assert [cell.text for cell in fox] == ["fox", "0", "", ""]


def test_balanced_accuracy_stands_beside_accuracy_where_classes_differ_in_size():
    table = accuracy_table(ablation())
    assert table.titles.index("balanced test accuracy, %") == table.titles.index("test accuracy, %") + 1
    assert "balanced test accuracy, %" not in accuracy_table(ablation(images=(50, 50, 50))).titles


def test_runs_that_do_not_say_it_have_no_table():
    found = find(read_ablation(accuracies(VALUES)), "a folder", [])
    assert "Accuracy by class" not in [table.title for table in found.further_tables]

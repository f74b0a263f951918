"""The table of ``RESULTS.md`` on what each trick of the recipe gives, from the shipped runs."""

import pandas as pd
from table_cells import points, table

from configs.resnet9_tricks import WITHOUT
from strideflax import results
from strideflax.config_file import read_sweep

RECIPE = "nothing"


def accuracies() -> pd.DataFrame:
    """Return test accuracies: one row per thing that was left out, one column per seed."""
    accuracy = results.shipped("recipe_cifar10").set_index("config_fingerprint")["test_accuracy"]
    rows = []
    for changes, config in read_sweep("configs/resnet9_tricks.py:narrow"):
        left_out = next(name for name, without in WITHOUT.items() if {**without, "seed": config.seed} == changes)
        rows.append((left_out, config.seed, accuracy[config.fingerprint]))
    found = pd.DataFrame(rows, columns=["left out", "seed", "accuracy"])
    return found.pivot(index="left out", columns="seed", values="accuracy")


def tricks_table() -> str:
    """Return a Markdown table: the recipe, then one row per trick, with what it gives in each seed, the largest mean first."""
    measured = accuracies()
    given = (measured.loc[RECIPE] - measured.drop(RECIPE)).assign(mean=lambda gains: gains.mean(axis="columns"))
    rows = [["the recipe", f"{100 * measured.loc[RECIPE].mean():.2f} %", "", ""]]
    for left_out, gains in given.sort_values("mean", ascending=False).iterrows():
        accuracy = f"{100 * measured.loc[left_out].mean():.2f} %"
        seeds = ", ".join(points(gain) for gain in gains.drop("mean"))
        rows.append([f"without {left_out}", accuracy, points(gains["mean"]), seeds])
    return table(["", "test accuracy", "the trick gives", "in each seed"], rows)

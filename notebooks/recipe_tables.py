"""The table of ``RESULTS.md`` on what each trick of the recipe gives, from the shipped runs."""

from pathlib import Path

import pandas as pd
from table_cells import points, table

from configs.resnet9_tricks import WITHOUT
from strideflax import results
from strideflax.sweep.plan import plan_sweep

RECIPE = "nothing"


def accuracies() -> pd.DataFrame:
    """Return test accuracies: one row per thing that was left out, one column per seed that has all of them."""
    runs = results.shipped("recipe_cifar10").set_index("config_fingerprint")
    planned = plan_sweep("configs/resnet9_tricks.py:narrow", Path("never-written"))
    rows = []
    for number, run in enumerate(planned):
        fingerprint = run.config.fingerprint
        if fingerprint in runs.index:
            left_out = list(WITHOUT)[number % len(WITHOUT)]
            rows.append((left_out, run.config.seed, runs.loc[fingerprint, "test_accuracy"]))
    found = pd.DataFrame(rows, columns=["left out", "seed", "accuracy"])
    return found.pivot(index="left out", columns="seed", values="accuracy").loc[list(WITHOUT)].dropna(axis="columns")


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

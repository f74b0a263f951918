import pandas as pd
import pytest
from made_runs import accuracies, config, result, write

from strideflax import results
from strideflax.analysis.ablation import LATENCY, read_ablation
from strideflax.errors import UserError


class TestAblation:
    def test_a_field_that_varies_for_the_baseline_is_a_setting(self, study_folder):
        ablation = read_ablation(results.load(study_folder))
        assert (ablation.settings, ablation.ranked_by) == (("augment.crop",), "val_accuracy")
        assert ablation.operators == ["strided_conv", "blur_pool", "max_pool", "avg_pool"]  # baseline, then by accuracy
        assert [condition.name for condition in ablation.conditions()] == ["crop 0", "crop 4"]

    def test_a_field_that_varies_for_other_operators_alone_is_part_of_their_names(self):
        frames = [
            accuracies({"strided_conv": [0.5], "blur_pool": [0.6]}, **{"model.window": 0}),
            accuracies({"blur_pool": [0.7]}, **{"model.window": 5}),
        ]
        ablation = read_ablation(pd.concat(frames, ignore_index=True))
        assert ablation.settings == ()
        assert ablation.operators == ["strided_conv", "blur_pool, window 5", "blur_pool"]

    def test_fields_that_change_together_are_one_setting(self):
        frames = [
            accuracies({"strided_conv": [0.5], "a": [0.6]}, **{"augment.crop": c, "augment.cutout": 2 * c})
            for c in (0, 4)
        ]
        assert read_ablation(pd.concat(frames, ignore_index=True)).settings == ("augment.crop",)

    def test_the_table_holds_paired_differences_and_mean_costs(self, study_folder):
        table = read_ablation(results.load(study_folder)).table.set_index(["augment.crop", "operator"])
        row = table.loc[(0, "blur_pool")]
        assert row[["n", "pairs", "macs", LATENCY]].tolist() == pytest.approx([3, 3, 63.5e6, 6.35], rel=1e-12)
        assert row["difference"] == pytest.approx(0.015, abs=1e-12)
        assert table.loc[(4, "avg_pool"), ["n", "missing", "pairs", "dropped"]].tolist() == [2, 1, 2, 1]

    def test_another_factor_and_baseline(self):
        frames = [
            accuracies({"strided_conv": [a]}, **{"model.padding": p}) for p, a in (("SAME", 0.5), ("SYMMETRIC", 0.6))
        ]
        ablation = read_ablation(pd.concat(frames, ignore_index=True), factor="model.padding", baseline="SAME")
        assert ablation.operators == ["SAME", "SYMMETRIC"]
        assert ablation.table["difference"].tolist()[1] == pytest.approx(0.1, abs=1e-12)

    @pytest.mark.parametrize("baseline", ["0.1", "0.10", "1e-1", 0.1])
    def test_a_number_of_the_command_line_finds_the_number_in_the_table(self, baseline):
        rates = {1.0: 0.5, 0.1: 0.6, 0.01: 0.7}
        frames = [accuracies({"strided_conv": [a]}, **{"optimizer.learning_rate": r}) for r, a in rates.items()]
        frame = pd.concat(frames, ignore_index=True)
        ablation = read_ablation(frame, factor="optimizer.learning_rate", baseline=baseline)
        assert ablation.operators == ["0.1", "0.01", "1"]
        assert ablation.table["difference"].tolist()[1:] == pytest.approx([0.1, -0.1])

    def test_a_whole_number_held_as_a_float_and_a_tuple_are_found_too(self):
        frames = [
            accuracies({"strided_conv": [0.5]}, **{"augment.crop": c, "model.strides": ((1, c),)}) for c in (0, 4)
        ]
        frame = pd.concat(frames, ignore_index=True)
        assert read_ablation(frame.astype({"augment.crop": float}), factor="augment.crop", baseline="4").baseline == "4"
        assert read_ablation(frame, factor="model.strides", baseline="[[1, 4]]").baseline == "((1, 4),)"

    @pytest.mark.parametrize("baseline", ["none", "None", "0", 0])
    def test_runs_from_before_and_after_a_field_could_be_none_are_one_level(self, baseline, tmp_path):
        for seed, window in enumerate((0, None, 5, 5)):
            run = result(seed=seed % 2)
            write(tmp_path / str(seed) / "result.json", run | {"config": config(seed=seed % 2, window=window)})
        ablation = read_ablation(results.load(tmp_path), factor="model.window", baseline=baseline)
        assert ablation.table.set_index("operator")["n"].to_dict() == {"0": 2, "5": 2}
        assert ablation.baseline == "0"

    def test_the_first_level_is_the_smallest_number(self):
        frames = [accuracies({"strided_conv": [0.5]}, **{"augment.crop": crop}) for crop in (10, 2)]
        assert read_ablation(pd.concat(frames, ignore_index=True), factor="augment.crop").baseline == "2"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"factor": "model.colour"},
                "no run has the field 'model.colour'; fields with several values: model.downsample",
            ),
            ({"baseline": "lanczos"}, "no run has model.downsample 'lanczos'; there are avg_pool, blur_pool"),
        ],
    )
    def test_what_is_not_there_is_the_users_mistake(self, study_folder, options, message):
        with pytest.raises(UserError, match=message):
            read_ablation(results.load(study_folder), **options)

    def test_two_runs_of_one_configuration_cannot_be_compared(self):
        frame = accuracies({"strided_conv": [0.5], "a": [0.6]})
        with pytest.raises(UserError, match="can't be compared: not paired: several runs"):
            read_ablation(pd.concat([frame, frame], ignore_index=True))

    def test_runs_of_different_seeds_cannot_be_compared_and_it_is_said_what_would_be(self):
        frame = accuracies({"strided_conv": [0.5], "a": [0.6]})
        frame["seed"] = range(2)
        message = "shares no seed with 'strided_conv'; runs of one seed make a pair; or put those that belong together"
        with pytest.raises(UserError, match=message):
            read_ablation(frame)

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from strideflax.analysis.comparison import compare_paired, interaction, paired_difference, pairs_needed, summarize
from strideflax.analysis.intervals import bootstrap_interval, holm, sign_flip_p


def runs(accuracies, status="finished", **columns):
    """One row an (operator, seed) of {operator: [accuracy of seed 0, 1, ...]}."""
    return pd.DataFrame(
        [
            {"model.downsample": name, "seed": seed, "test_accuracy": value, "status": status, **columns}
            for name, values in accuracies.items()
            for seed, value in enumerate(values)
        ]
    )


class TestSummarize:
    def test_mean_sd_and_students_interval_by_hand(self):
        table = summarize(runs({"max_pool": [0.80, 0.82, 0.87]}), by=["model.downsample"])
        (row,) = table.to_dict("records")
        # mean 0.83; squares 9 + 1 + 16 = 26e-4, over 2: sd 0.036056; t(2, 97.5 %) = 4.302653; half = t sd / sqrt(3)
        assert (row["model.downsample"], row["n"], row["missing"]) == ("max_pool", 3, 0)
        assert row["mean"] == pytest.approx(0.83, abs=1e-12)
        assert row["sd"] == pytest.approx(math.sqrt(13e-4), abs=1e-12)
        assert row["high"] - 0.83 == pytest.approx(4.3026527 * math.sqrt(13e-4 / 3), abs=1e-8)
        assert 0.83 - row["low"] == pytest.approx(row["high"] - 0.83, abs=1e-12)

    @pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
    def test_interval_is_scipys(self, confidence):
        values = np.random.default_rng(1).normal(0.9, 0.01, 7)
        row = summarize(runs({"a": values}), by=["model.downsample"], confidence=confidence).iloc[0]
        expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(confidence)
        assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high), abs=1e-12)

    def test_a_run_that_did_not_finish_is_counted_and_never_averaged(self):
        frame = pd.concat([runs({"a": [0.5, 0.7]}), runs({"a": [0.0]}, status="failed"), runs({"a": [math.nan]})])
        row = summarize(frame, by=["model.downsample"]).iloc[0]
        assert (row["n"], row["missing"]) == (2, 2)
        assert row["mean"] == pytest.approx(0.6, abs=1e-12)

    def test_an_interval_of_shares_stays_between_none_and_all(self):
        row = summarize(runs({"a": [0.70, 0.7560]}), by=["model.downsample"]).iloc[0]
        assert row["low"] == pytest.approx(0.728 - 12.7062 * 0.028, abs=1e-5)  # as Student has it
        assert row["high"] == 1  # and not 1.0838

    def test_an_interval_of_a_time_is_not_cut(self):
        frame = runs({"a": [0, 0]}).assign(ms=[0.9, 1.1])
        row = summarize(frame, ["model.downsample"], "ms").iloc[0]
        assert row["high"] == pytest.approx(1 + 12.7062 * 0.1, abs=1e-4)

    def test_one_run_has_no_spread_and_none_has_no_mean(self):
        table = summarize(runs({"one": [0.5], "none": [math.nan]}), by=["model.downsample"])
        assert table["mean"].tolist() == [0.5, pytest.approx(math.nan, nan_ok=True)]
        assert table[["sd", "low", "high"]].isna().all(axis=None)

    def test_groups_are_combinations_of_columns(self):
        frame = pd.concat([runs({"a": [1.0, 2.0]}, crop=0), runs({"a": [5.0, 7.0]}, crop=4)])
        table = summarize(frame, by=["model.downsample", "crop"])
        assert table[["crop", "mean"]].values.tolist() == [[0, 1.5], [4, 6.0]]

    def test_unknown_column(self):
        with pytest.raises(ValueError, match=r"no column 'speed'; there are model\.downsample, seed"):
            summarize(runs({"a": [1.0]}), by=["model.downsample"], value="speed")


class TestCompare:
    def test_differences_are_taken_within_seeds_and_not_between_means(self):
        frame = runs({"strided_conv": [0.60, 0.70, 0.80], "blur_pool": [0.62, 0.71, 0.83]})
        frame = frame.sample(frac=1, random_state=0)  # the order of the rows says nothing
        row = compare_paired(frame).iloc[0]
        assert (row["model.downsample"], row["pairs"], row["dropped"]) == ("blur_pool", 3, 0)
        assert row["difference"] == pytest.approx(0.02, abs=1e-12)
        assert row["sd"] == pytest.approx(0.01, abs=1e-12)  # unpaired it would be 0.14
        assert row["p"] == 2 / 8  # only + + + and - - - are as far from 0
        assert row["probability_of_improvement"] == 1

    def test_a_tie_is_half_an_improvement(self):
        row = compare_paired(runs({"strided_conv": [0.5, 0.5, 0.5, 0.5], "a": [0.6, 0.5, 0.5, 0.4]})).iloc[0]
        assert row["probability_of_improvement"] == 0.5

    def test_pairs_with_a_missing_or_failed_run_are_dropped_and_counted(self):
        frame = runs({"strided_conv": [0.5, math.nan, 0.5, 0.5], "a": [0.6, 0.9, 0.7]})
        frame.loc[(frame["model.downsample"] == "a") & (frame["seed"] == 2), "status"] = "diverged"
        row = compare_paired(frame).iloc[0]
        assert (row["pairs"], row["dropped"]) == (1, 3)  # seed 1: baseline; seed 2: diverged; seed 3: never run
        assert row["difference"] == pytest.approx(0.1, abs=1e-12)
        assert math.isnan(row["low"])

    def test_an_operator_whose_runs_all_failed_has_a_row_without_numbers(self):
        row = compare_paired(runs({"strided_conv": [0.5, 0.6], "a": [math.nan, math.nan]})).iloc[0]
        assert (row["pairs"], row["dropped"]) == (0, 2)
        assert row[["difference", "low", "high", "p", "p_holm"]].isna().all()

    def test_settings_are_compared_apart_and_holm_counts_the_operators_of_one_setting(self):
        off = runs({"strided_conv": [0.0] * 6, "a": [0.1] * 6, "b": [0.1, 0.2, 0.3, 0.4, 0.5, -0.1]}, crop=0)
        on = runs({"strided_conv": [0.0] * 6, "a": [-0.1] * 6}, crop=4)
        table = compare_paired(pd.concat([off, on]), within=["crop"])
        assert table[["crop", "model.downsample"]].values.tolist() == [[0, "a"], [0, "b"], [4, "a"]]
        # b: as far as 1.4 are all plus (1.6), either 0.1 turned (1.4, the observed one twice), and their mirrors.
        assert table["p"].tolist() == [2 / 64, 6 / 64, 2 / 64]
        assert table["p_holm"].tolist() == [4 / 64, 6 / 64, 2 / 64]

    def test_a_setting_without_the_baseline_has_no_difference(self):
        table = compare_paired(
            pd.concat([runs({"strided_conv": [0.0], "a": [0.1]}, crop=0), runs({"a": [0.3]}, crop=4)]), within=["crop"]
        )
        assert table["pairs"].tolist() == [1, 0]

    def test_runs_that_a_missing_column_tells_apart_are_an_error(self):
        frame = pd.concat([runs({"strided_conv": [0.5], "a": [0.6]}, crop=crop) for crop in (0, 4)])
        with pytest.raises(
            ValueError, match=r"not paired: several runs have model\.downsample 'strided_conv' and seed 0"
        ):
            compare_paired(frame)

    def test_arms_without_a_common_seed_are_an_error(self):
        frame = pd.concat([runs({"strided_conv": [0.5, 0.6]}), runs({"a": [0.6, 0.7]}).assign(seed=[7, 8])])
        with pytest.raises(ValueError, match=r"not paired: model\.downsample 'a' shares no seed with 'strided_conv'"):
            compare_paired(frame)

    def test_a_common_seed_that_failed_is_missing_and_not_unpaired(self):
        row = compare_paired(runs({"strided_conv": [math.nan, 0.6], "a": [0.6]})).iloc[0]
        assert (row["pairs"], row["dropped"]) == (0, 2)

    def test_unknown_baseline(self):
        with pytest.raises(ValueError, match=r"no run has model\.downsample 'b'; there are 'a'"):
            compare_paired(runs({"a": [0.5]}), baseline="b")


class TestInteraction:
    def test_difference_of_paired_differences_by_hand(self):
        off = runs(
            {"strided_conv": [0.60, 0.61, 0.62], "blur_pool": [0.63, 0.63, 0.66]}, **{"augment.crop": 0}
        )  # 3 2 4
        on = runs(
            {"strided_conv": [0.80, 0.81, 0.82], "blur_pool": [0.81, 0.81, 0.81]}, **{"augment.crop": 4}
        )  # 1 0 -1
        found = interaction(pd.concat([off, on]), "blur_pool")
        assert (found.pairs, found.dropped) == (3, 0)
        assert found.difference == pytest.approx(0.03, abs=1e-12)  # 2, 2, 5
        assert found.sd == pytest.approx(math.sqrt(3) / 100, abs=1e-12)
        assert found.p == 2 / 8

    def test_a_seed_that_lacks_one_of_four_runs_is_dropped(self):
        off = runs({"strided_conv": [0.6, 0.6], "blur_pool": [0.7, 0.7]}, **{"augment.crop": 0})
        on = runs({"strided_conv": [0.8, 0.8], "blur_pool": [0.8, math.nan]}, **{"augment.crop": 4})
        found = interaction(pd.concat([off, on]), "blur_pool")
        assert (found.pairs, found.dropped, found.difference) == (1, 1, pytest.approx(0.1, abs=1e-12))

    def test_a_level_without_runs(self):
        with pytest.raises(ValueError, match=r"no run has model\.downsample 'a' where augment\.crop is 4"):
            interaction(runs({"strided_conv": [0.5], "a": [0.5]}, **{"augment.crop": 0}), "a")


class TestSignFlip:
    @pytest.mark.parametrize("n", [2, 5, 9])
    def test_all_patterns_give_scipys_exact_p(self, n):
        random = np.random.default_rng(n)
        x, y = random.normal(0.3, 1, n), random.normal(0, 1, n)
        expected = scipy.stats.permutation_test(
            (x, y),
            lambda x, y, axis: (x - y).mean(axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=np.inf,
        )
        assert sign_flip_p(x - y) == pytest.approx(expected.pvalue, abs=1e-15)

    def test_ties_up_to_rounding_count(self):
        # 0.1 + 0.2 - 0.3 is 5.6e-17 and not 0: all four patterns with that sum and the four others reach it.
        assert sign_flip_p(np.array([0.1, 0.2, -0.3])) == 1
        assert sign_flip_p(np.array([0.3, 0.1, 0.2])) == 2 / 8

    def test_many_pairs_are_sampled_close_to_the_exact_value(self):
        # 17 equal differences, 13 of them positive: a binomial sign test.
        differences = np.array([1.0] * 13 + [-1.0] * 4)
        exact = scipy.stats.binomtest(13, 17).pvalue
        assert sign_flip_p(differences) == pytest.approx(exact, abs=4 * math.sqrt(exact / 100_000))

    def test_one_difference_says_nothing_and_none_even_less(self):
        assert sign_flip_p(np.array([0.3])) == 1
        assert math.isnan(sign_flip_p(np.array([])))


class TestBootstrap:
    def test_two_values_reach_from_one_to_the_other(self):
        assert bootstrap_interval(np.array([1.0, 3.0])) == (1.0, 3.0)

    def test_the_quantiles_of_all_resamples_by_hand(self):
        values = np.array([0.011, 0.014, 0.009, 0.017, 0.012])
        means = np.mean(list(itertools.product(values, repeat=5)), axis=1)
        tail = scipy.stats.norm.cdf(-1.533206 * math.sqrt(5 / 4))  # t(4, 90 %)
        expected = np.quantile(means, [tail, 1 - tail])
        assert bootstrap_interval(values, 0.8, resamples=200_000) == pytest.approx(expected, abs=2e-5)

    def test_many_values_give_students_interval(self):
        values = np.random.default_rng(0).normal(0, 1, 400)
        expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert bootstrap_interval(values) == pytest.approx((expected.low, expected.high), abs=0.01)

    def test_it_is_not_the_plain_percentile_interval_which_is_too_narrow_for_few_values(self):
        values = np.array([0.011, 0.014, 0.009, 0.017, 0.012])
        low, high = bootstrap_interval(values)
        plain = scipy.stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0))
        assert low < plain.confidence_interval.low
        assert high > plain.confidence_interval.high

    @pytest.mark.parametrize(("n", "coverage"), [(3, 0.75), (5, 0.92), (10, 0.95)])
    def test_it_holds_the_mean_as_often_as_documented(self, n, coverage):
        random = np.random.default_rng(n)
        intervals = [bootstrap_interval(random.normal(0, 1, n), resamples=2000, seed=i) for i in range(1000)]
        held = np.mean([low < 0 < high for low, high in intervals])
        assert held == pytest.approx(coverage, abs=0.03)

    def test_the_same_values_give_the_same_interval(self):
        values = np.array([0.1, 0.4, 0.2])
        assert bootstrap_interval(values) == bootstrap_interval(values)
        assert bootstrap_interval(values, seed=1, resamples=7) != bootstrap_interval(values, seed=2, resamples=7)

    def test_one_value_has_no_interval(self):
        assert all(math.isnan(bound) for bound in bootstrap_interval(np.array([1.0])))


class TestHolm:
    def test_by_hand(self):
        # in order: 0.01 x 4 = 0.04, 0.02 x 3 = 0.06, 0.022 x 2 = 0.044 but never below the one before, 0.4 x 1
        assert holm([0.02, 0.4, 0.01, 0.022]) == pytest.approx([0.06, 0.4, 0.04, 0.06], abs=1e-15)

    def test_capped_at_one_and_missing_ones_not_counted(self):
        assert holm([0.7, math.nan, 0.6])[[0, 2]] == pytest.approx([1, 1])
        assert holm([0.01, math.nan])[0] == 0.01


class TestPower:
    @pytest.mark.parametrize(
        ("sd", "difference", "share"), [(1.0, 1.0, 0.8), (0.283, 0.2, 0.8), (2.0, 0.5, 0.95), (1.0, 0.05, 0.1)]
    )
    def test_it_is_the_smallest_number_of_pairs_that_reaches_scipys_power(self, sd, difference, share):
        def reached(n):
            critical = scipy.stats.t.ppf(0.975, n - 1)
            t = scipy.stats.nct(n - 1, math.sqrt(n) * difference / sd)
            return t.sf(critical) + t.cdf(-critical)

        n = pairs_needed(sd, difference, power=share)
        assert reached(n) >= share > reached(n - 1)

    def test_textbook_value(self):
        assert pairs_needed(1, 0.5) == 34  # a medium effect, Cohen 1988: 33.4 pairs

    def test_simulated_t_tests_find_the_difference_that_often(self):
        n = pairs_needed(1, 1.2)
        samples = np.random.default_rng(0).normal(1.2, 1, (4000, n))
        assert np.mean(scipy.stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05) > 0.79

    @pytest.mark.parametrize("values", [(0, 1), (1, 0), (1, -1), (math.nan, 1)])
    def test_sizes_must_be_positive(self, values):
        with pytest.raises(ValueError, match="sd and difference must be > 0"):
            pairs_needed(*values)


def test_paired_difference_agrees_with_scipys_paired_t_test():
    random = np.random.default_rng(3)
    x, y = random.normal(0.91, 0.01, 8), random.normal(0.90, 0.01, 8)
    found, expected = paired_difference(x - y), scipy.stats.ttest_rel(x, y)
    assert found.difference / (found.sd / math.sqrt(8)) == pytest.approx(expected.statistic, rel=1e-12)

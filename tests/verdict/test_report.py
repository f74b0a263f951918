"""The report of a study tells of the pairs that its verdict rests on, and of no others."""

from verdict.conftest import write_runs

from strideflax.verdict.report import write_study_report


def test_the_tables_have_the_pairs_of_the_verdict(study):
    write_runs(study, "strided_conv", [0.50, 0.51, 0.52, 0.53, 0.54, 0.5, 0.5, 0.5])
    write_runs(study, "blur_pool", [0.60, 0.611, 0.619, 0.63, 0.1, 0.1, 0.1])
    write_runs(study, "max_pool", [0.6, None, 0.5, 0.4, 0.6, 0.5, 0.4])
    blur, pool = verdicts = study.verdicts()
    assert (blur.standing.pairs, pool.standing.pairs, pool.lost) == (4, 6, 1)
    write_study_report(study, verdicts)
    rows = [
        line.split(" | ") for line in (study.folder / "report.md").read_text().splitlines() if line.startswith("| ")
    ]
    means = {
        cells[0].strip("| "): cells[1].split()[0] for cells in rows[2:5]
    }  # of the first table, most accurate first
    assert means == {
        "blur_pool": "61.50",  # of the four pairs that settled it, not of all seven
        "max_pool": "50.00",
        "strided_conv": "51.43",  # of the seven that max_pool took
    }

import pytest

from strideflax.report.write import write_report


@pytest.fixture(scope="module")
def report(study_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    write_report(study_folder, out)
    return out

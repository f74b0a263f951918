import pytest

GRID = """
from configs.baseline import baseline

def get_config(arg=None):
    return baseline("quick")

def sweep(arg=None):
    for seed in range(2):
        for operator in ("strided_conv", "max_pool"):
            yield {"model.downsample": operator, "seed": seed}
"""


@pytest.fixture
def grid(tmp_path) -> str:
    (tmp_path / "grid.py").write_text(GRID)
    return str(tmp_path / "grid.py")

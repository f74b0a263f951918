"""`bench --all` does each part, by the part's own option, and goes on where one fails."""

import pytest

from strideflax.__main__ import main
from strideflax.benchmark.scaling import AXES
from strideflax.commands import bench_against, bench_overhead, bench_scaling
from strideflax.errors import UserError

PARTS = ["overhead", *(f"scaling_{axis}" for axis in AXES), "against"]


@pytest.fixture
def done(monkeypatch):
    """Put a record of each call in place of the parts; those named in `done.fail` raise."""

    class Done(list):
        fail: dict[str, BaseException] = {}  # noqa: RUF012, of this one object

    found = Done()

    def part(args):
        name = args.out.stem
        found.append((name, args.scaling, args.against, args.rounds, args.out.parent.is_dir()))
        if name in found.fail:
            raise found.fail[name]

    for module, function in ((bench_overhead, "overhead"), (bench_scaling, "scale"), (bench_against, "against")):
        monkeypatch.setattr(module, function, part)
    return found


def test_every_part_writes_into_the_folder(done, tmp_path):
    main(["bench", "--all", "--rounds", "2", "--out", str(tmp_path / "figures.json")])
    assert [name for name, *_ in done] == PARTS
    assert [axis for _, axis, *_ in done if axis] == list(AXES)
    assert [against for *_, against, _, _ in done if against] == ["torch"]
    assert all(rounds == 2 and there for *_, rounds, there in done)
    assert (tmp_path / "figures").is_dir()


def test_what_fails_is_told_at_the_end_and_the_rest_is_done(done, tmp_path, capsys):
    done.fail = {"scaling_devices": UserError("devices 2 can't be measured"), "against": SystemExit(1)}
    with pytest.raises(SystemExit) as stop:
        main(["bench", "--all", "--out", str(tmp_path / "figures")])
    assert stop.value.code == 1
    assert [name for name, *_ in done] == PARTS
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "not done: scaling_devices: devices 2 can't be measured",
        "not done: against: see above",
    ]

"""Other processes at the same files, hostile folders, and a machine without a network."""

import json
import subprocess
import sys
import textwrap

import pytest
from made_runs import result, write
from reliability.runs import CONFIG, ROOT, Machine, finish

from strideflax.files import write_json
from strideflax.training.run_folder import append_metrics, read_json, read_metrics

WRITER = """
import sys
from pathlib import Path
from strideflax.files import write_json
from strideflax.training.run_folder import append_metrics
folder, writer = Path(sys.argv[1]), int(sys.argv[2])
for i in range(300):
    append_metrics(folder, {"epoch": writer, "step": i, "padding": "x" * (50 * writer)})
    write_json(folder / "shared.json", {"writer": writer, "padding": [i] * 200})
"""


def python(script: str, *words: object, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, words)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_writers_at_once_tear_no_line_and_no_file(tmp_path):
    write_json(tmp_path / "shared.json", {"writer": 0, "padding": [0] * 200})
    append_metrics(tmp_path, {"epoch": 0, "step": 0})
    processes = [python(WRITER, tmp_path, writer) for writer in range(1, 5)]
    while any(process.poll() is None for process in processes):
        assert len(set(read_json(tmp_path / "shared.json")["padding"])) == 1
    for process in processes:
        finish(process)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len(read_metrics(tmp_path)) == 1201
    for writer in range(1, 5):
        assert [r["step"] for r in map(json.loads, lines) if r["epoch"] == writer] == list(range(300))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "shared.json"]


OFFLINE = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        print(f"network: {event} {arguments}", flush=True)
    if "lscpu" in map(str, arguments[:1]):
        return  # NumPy 2.0 asks for the processor's name when its tests' helpers are imported
    if event in ("pickle.find_class", "os.system", "os.exec", "subprocess.Popen"):
        print(f"code: {event} {arguments}", flush=True)

from strideflax.__main__ import main
sys.addaudithook(refuse)
folder, *config = sys.argv[1:]
main(["train", *config, "--workdir", folder + "/runs/run"])
main(["inspect", *config])
main(["evaluate", folder + "/runs/run", "--measures", "calibration"])
main(["report", folder + "/runs"])
main(["data", "--name", "shapes"])
"""


def test_no_command_asks_the_network_or_unpickles_or_starts_anything(tmp_path):
    output = finish(python(OFFLINE, tmp_path, *CONFIG))
    assert "report in" in output
    assert [line for line in output.splitlines() if line.startswith(("network:", "code:"))] == []


EVIL = "<script>alert(1)</script>\"'>&"


def test_a_hostile_run_folder_reaches_the_page_as_text(tmp_path):
    from strideflax.report.write import write_report

    run = tmp_path / "runs" / "run"
    hostile = result() | {"device": EVIL, "error": EVIL, "versions": {EVIL: EVIL}}
    hostile["config"] = hostile["config"] | {"model": hostile["config"]["model"] | {"downsample": EVIL, EVIL: EVIL}}
    hostile["dataset"] = hostile["dataset"] | {"name": EVIL, "source": EVIL}
    write(run / "result.json", hostile)
    write(tmp_path / "runs" / EVIL.replace("/", "") / "result.json", result())
    for name in ("result.pkl", "checkpoints/1/state", "measures/cost.npy"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")
    page, markdown, *_ = write_report(tmp_path / "runs", tmp_path / "out")
    assert "<script>alert" not in page.read_text()
    assert "<script>alert" not in markdown.read_text().partition("```bash")[0]
    assert not (ROOT / "harm").exists()


def test_arrays_of_objects_are_refused(tmp_path):
    import numpy as np

    from strideflax.errors import UserError
    from strideflax.measuring.robustness import load_array

    np.save(tmp_path / "labels.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(UserError, match=r"labels\.npy can't be read .*Python objects"):
        load_array(tmp_path, "labels")


def test_distributed_without_a_cluster_is_told_in_a_line(tmp_path):
    machine = Machine(tmp_path / "compiled")
    process = machine.start(*CONFIG, "--distributed", "auto", "--workdir", tmp_path / "run")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 2, output + errors
    assert errors.count("\n") == 1
    assert "HOST:PORT,COUNT,INDEX" in errors

"""Every command, small, and ways to end it from outside; the tables of `test_endings.py` here and in tests/reliability."""

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = (
    "--config.model.widths=(4,)", "--config.model.blocks=(1,)", "--config.model.strides=(2,)",
    "--config.model.stem.kernel=3", "--config.data.train_count=80", "--config.data.val_count=20",
    "--config.data.test_count=20", "--config.batch_size=20", "--config.eval_batch_size=20",
)  # fmt: skip
CONFIG = ("--config", "configs/stride2.py:quick", *TINY)
LOADING = "loading "
STOPPING = "stopping; press Ctrl-C again to stop at once"
CLOSED_PIPE = 128 + signal.SIGPIPE


@dataclass(frozen=True)
class Case:
    """A command.

    Attributes:
        words: its command line; {out} is a path for what it writes, {run} a finished run.
        at_work: what a terminal shows once it computes; "" for a command that is over at once.
        mistake: words that it answers with one line.
        folder: the command leaves a folder of its own behind when stopped, from which it goes on.
        first: what a terminal shows first.
    """

    words: tuple[str, ...]
    at_work: str
    mistake: tuple[str, ...]
    folder: bool = False
    first: str = LOADING


LONG_RUN = (*CONFIG, "--config.epochs=2000", "--config.checkpoint_epochs=5000")
CASES = {
    "train": Case(("train", *LONG_RUN, "--workdir", "{out}"), "epoch ", ("train", "--config", "no.py"), folder=True),
    "inspect": Case(("inspect", *CONFIG), "", ("inspect", *CONFIG, "--size", "0", "1")),
    "evaluate": Case(("evaluate", "{run}", "--measures", "detail"), "detail", ("evaluate", "{out}")),
    "sweep": Case(
        ("sweep", "--config", "configs/ablation.py:quick", "--filter", "seed=0", *TINY, "--out", "{out}"),
        "starting workers",
        ("sweep", "--config", "configs/stride2.py", "--out", "{out}"),
        folder=True,
    ),
    "compare": Case(
        ("compare", *CONFIG, "--config.epochs=500", "--operators", "strided_conv,max_pool", "--out", "{out}"),
        "at most",
        ("compare", *CONFIG, "--operators", "strided_conv,pool", "--out", "{out}"),
        folder=True,
    ),
    "predict": Case(("predict", "{run}", "notebooks/balance.png"), "", ("predict", "{out}", "notebooks/balance.png")),
    "export": Case(("export", "{run}", "--to", "npz", "--out", "{out}"), "", ("export", "{out}", "--to", "npz")),
    "new": Case(("new", "{out}"), "", ("new", "train.py"), first="configs/mine.py"),
    "results export": Case(
        ("results", "export", "{run}", "{out}.jsonl.gz"), "", ("results", "export", "{run}", "{out}.txt")
    ),
    "results import": Case(
        ("results", "import", "strideflax/analysis/shipped/claims_cifar10.jsonl.gz", "{out}"),
        "",
        ("results", "import", "{out}.jsonl.gz"),
    ),
    "report": Case(("report", "{run}", "--out", "{out}"), "", ("report", "{out}")),
    "data": Case(("data", "--name", "shapes"), "", ("data", "--name", "mnist")),
    "bench operators": Case(
        ("bench", "operators", "--shape", "1,8,8,2", "--repeats", "1", "--out", "{out}"),
        "timing subsample",
        ("bench", "operators", "pool"),
    ),
    "bench against": Case(
        ("bench", "against", "lax", "--only", "conv 1x1/1", "--rounds", "2", *CONFIG, "--out", "{out}"),
        "1/",
        ("bench", "against", "lax", "--dtypes", "int8"),
    ),
    "bench scaling": Case(
        ("bench", "scaling", "batch", "--rounds", "1", *CONFIG, "--out", "{out}"),
        "measuring",
        ("bench", "scaling", "x"),
    ),
    "bench overhead": Case(
        ("bench", "overhead", "--rounds", "1", *CONFIG, "--out", "{out}"),
        "memory:",
        ("bench", "overhead", "--config", "no.py"),
    ),
    "bench gpu": Case(
        ("bench", "gpu", "--small", "--parts", "sizes", "--out", "{out}"),
        "at most",
        ("bench", "gpu", "--parts", "x"),
        folder=True,
        first="at most",
    ),
    "bench all": Case(
        ("bench", "all", "--rounds", "1", *CONFIG, "--torch-python", sys.executable, "--out", "{out}"),
        "1/8",
        ("bench", "all", "--rounds", "0"),
        folder=True,
        first="1/8",
    ),
}


@dataclass
class Terminal:
    """A command in a terminal of 80 columns, in a session of its own, as a shell starts it.

    Attributes:
        temporary: where it puts temporary files.
        shown: all that the terminal has got.
    """

    words: tuple[str, ...]
    temporary: Path
    shown: str = ""
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.temporary.mkdir()
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        login = (
            "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", login, str(slave), "-m", "strideflax", *self.words],
            pass_fds=[slave], cwd=ROOT, env=os.environ | {"TMPDIR": str(self.temporary), "ENDING": self.mark, "TERM": "xterm"},
        )  # fmt: skip
        os.close(slave)

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Read until the terminal shows ``text``."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, f"no {text!r} within {seconds} s in:\n{self.shown}"
            assert self._read(1) or self.process.poll() is None, f"it ended without {text!r}:\n{self.shown}"

    def press_ctrl_c(self) -> None:
        """Let the terminal send SIGINT to all processes of the command."""
        os.write(self.master, b"\x03")

    def hang_up(self) -> None:
        """Close the terminal."""
        os.close(self.master)
        self.master = -1

    def end(self, seconds: float = 60) -> int:
        """Return the exit status, once all processes have ended."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running after {seconds} s:\n{self.shown}"
            self._read(0.2)
        while self._read(0):
            pass
        if self.master >= 0:
            self.hang_up()
        while self._left():
            assert time.monotonic() < deadline, f"processes left after {seconds} s: {self._left()}"
            time.sleep(0.1)
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        if self.master < 0:
            time.sleep(seconds)
            return False
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            got = os.read(self.master, 100_000)
        except OSError:  # the other side is closed
            return False
        self.shown += got.decode(errors="replace")
        return bool(got)

    def _left(self) -> list[str]:
        """Return the processes that were started by this one and still run."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdigit() and self.mark.encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found


def words_of(case: Case, run: Path, out: Path) -> tuple[str, ...]:
    """Return the command line with its places filled in."""
    return fill(case.words, run, out)


def fill(words: tuple[str, ...], run: Path, out: Path) -> tuple[str, ...]:
    return tuple(word.replace("{run}", str(run)).replace("{out}", str(out)) for word in words)


def make_run(folder: Path) -> Path:
    """Return the folder of a finished run."""
    words = ["train", *CONFIG, "--config.epochs=1", "--workdir", str(folder)]
    subprocess.run([sys.executable, "-m", "strideflax", *words], cwd=ROOT, check=True, capture_output=True)
    return folder


def check_quiet(shown: str) -> None:
    """Check that nothing shown is a traceback or Python's complaint about one."""
    for word in ("Traceback", "Exception ignored", "Error in sys", "BrokenPipe"):
        assert word not in shown, shown

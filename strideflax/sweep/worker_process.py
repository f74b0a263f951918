"""A worker process on this machine, from its start to its end.

What takes long to import, above all JAX, it imports when it runs. So the command line can start it before it knows what to
train, and both load their libraries at the same time.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection

READY = "ready"  # what the process says first, once it has its assignment


@dataclass(frozen=True)
class Share:
    """What a worker has of its machine: cores by their numbers, or one accelerator by its number."""

    cores: tuple[int, ...] = ()
    accelerator: str | None = None


@dataclass(frozen=True)
class Assignment:
    """What the process is told first.

    Attributes:
        share: of the machine.
        config_file: the sweep's, run before the first run: it may define an operator of its own.
    """

    share: Share
    config_file: str | None = None


def serve(pipe: Connection) -> None:
    """Train runs whose folders come through ``pipe`` after an `Assignment`, one by one, and answer each with its status.

    A disk's trouble is not a run's: the answer is then the error. The process ends with the pipe, with the process that
    started it, or when it is asked to by SIGTERM, upon which a run saves after its step. Ctrl-C is the sweep's to answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from strideflax.errors import UserError
    from strideflax.process import StoppedAtOnce, StopSignal, quiet_storage
    from strideflax.sweep.worker import Worker

    with contextlib.suppress(EOFError, OSError, StoppedAtOnce):  # nobody asks any more
        assignment = pipe.recv()
        quiet_storage()
        stop = StopSignal()
        _confine_to(assignment.share)
        worker = Worker(assignment.config_file, is_asked_to_stop=stop)
        pipe.send(READY)
        while not stop.number:
            folder = pipe.recv()
            try:
                answer: str | Exception = worker.train(folder)
            except (UserError, OSError) as error:
                answer = error
            pipe.send(answer)
    for stream in (sys.stdout, sys.stderr):  # a config file may have printed
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)  # all is written, and to take JAX down takes a third of a second


def _confine_to(share: Share) -> None:
    if share.accelerator is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = share.accelerator
    elif hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share.cores)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)

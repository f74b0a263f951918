"""The tasks by the names that ``config.task`` may have."""

from strideflax.tasks.classify import Classify
from strideflax.tasks.segment import Segment
from strideflax.tasks.task import Task

TASKS: dict[str, Task] = {"classify": Classify(), "segment": Segment()}

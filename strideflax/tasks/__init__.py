"""What a net learns to say of an image, one file per task: its loss and accuracy, and what augmentation does to its targets."""

from strideflax.tasks.segment import VOID, class_overlaps, mean_overlap
from strideflax.tasks.table import TASKS
from strideflax.tasks.task import ClassCounts, Evaluation, Task

__all__ = ["TASKS", "VOID", "ClassCounts", "Evaluation", "Task", "class_overlaps", "mean_overlap"]

"""A grid of configurations: its plan, the worker that trains one run, the engines that place workers."""

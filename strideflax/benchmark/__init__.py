"""Speed compared fairly: the same work by several contenders, each in a process of its own, taking turns."""

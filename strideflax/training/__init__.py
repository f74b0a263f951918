"""From a configuration to a trained model: data order, step, checkpoints, loop, run folder."""

"""The GPU run: checks, speed, and cells of experiment 1 at the `paper` budget, in ten minutes."""

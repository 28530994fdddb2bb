"""From jobs to finished seeds: the loop, the pool of workers, W&B."""

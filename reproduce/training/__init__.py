"""From jobs to finished members: the loop, the pool of workers, W&B."""

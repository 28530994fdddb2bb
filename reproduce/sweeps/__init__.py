"""Sweeps with Hydra's launchers: their plan, their jobs, their table."""

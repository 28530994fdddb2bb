"""Stacked networks: plain torch modules that know no Lightning, no Hydra and no disk."""

"""Studies beside the two experiments, each a folder with its own README."""

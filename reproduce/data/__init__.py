"""The data sets of the paper, and embedded stand-ins that need no network."""

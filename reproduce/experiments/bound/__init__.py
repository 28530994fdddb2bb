"""Experiment 1, the paper's Figure 2: the variational bound."""

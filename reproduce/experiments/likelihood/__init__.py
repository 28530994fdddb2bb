"""Experiment 2, the paper's Figure 3: the marginal log-likelihood."""

"""Estimators of the marginal log-likelihood log p(x), one file each."""

"""The paper's Figures 4 and 5: manifolds, samples and reconstructions."""

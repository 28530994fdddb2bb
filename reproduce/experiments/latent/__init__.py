"""How much each latent dimension is used: KL, active units, collapse."""

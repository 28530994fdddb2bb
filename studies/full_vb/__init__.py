"""Does a posterior over the decoder's weights (Appendix F) keep AEVB from overfitting?"""

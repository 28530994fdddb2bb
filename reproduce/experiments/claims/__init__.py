"""The paper's claims, each checked against stored curves: an effect, an interval, a verdict."""

"""The paper's claims, as they are defined here, and all that is found of them.

Values are in nats per datapoint. Effects are means over seeds of differences within a seed, with
Student-t intervals; "about the same" means within 1 % of the value, which is about 1 nat on MNIST
and 10 on Frey Face.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from reproduce.common.names import algorithm_name
from reproduce.experiments.bound import claims as bound_claims
from reproduce.experiments.claims import match
from reproduce.experiments.claims.evidence import Evidence
from reproduce.experiments.claims.finding import Finding, Verdict, overall
from reproduce.experiments.estimators import claims as estimator_claims
from reproduce.experiments.likelihood import claims as likelihood_claims


@dataclass(frozen=True)
class Claim:
    """What is claimed, and the definition that decides it."""

    statement: str
    definition: str


CLAIMS = {
    "1a": Claim(
        "AEVB converges faster than wake-sleep",
        "AEVB needs fewer training samples to come within 1 % of the best bound that both reach: "
        "the ratio of samples is above 1, in every panel of Figure 2, on both splits",
    ),
    "1b": Claim(
        "AEVB reaches a better bound than wake-sleep",
        "the difference of the bounds where the published curves end is above 0, in every panel "
        "of Figure 2, on both splits",
    ),
    "2a": Claim(
        "More latent variables do not overfit: the test bound",
        "the final test bound does not fall by more than 1 % from one N_z to the next",
    ),
    "2b": Claim(
        "More latent variables do not overfit: the gap",
        "the final gap between training bound (running mean, as published) and test bound does "
        "not grow by more than 1 % of the bound from one N_z to the next",
    ),
    "3a": Claim(
        "AEVB beats wake-sleep at both training-set sizes",
        "the difference of log p(x) where Figure 3 ends is above 0 at N = 1,000 and 50,000",
    ),
    "3b": Claim(
        "MCEM is no worse than wake-sleep at N = 1,000",
        "its log p(x) where Figure 3 ends is no more than 1 % below wake-sleep's",
    ),
    "3c": Claim(
        "MCEM is far behind at N = 50,000",
        "its log p(x) where Figure 3 ends is more than 5 nats below AEVB's, and below wake-sleep's",
    ),
    "4a": Claim(
        "The estimator of the plotted bound varies little",
        "the variance over noise of the plotted mean (up to 10,000 images, L = 1) is below 1 nat² "
        "in every trained model, each known to about 20 %",
    ),
    "4b": Claim(
        "The estimator of one image's bound varies little",
        "the variance over noise of a single image's bound with L = 1 is below 1 nat², in the mean "
        "over images",
    ),
    "5a": Claim(
        "Appendix D's estimator is good up to 5 dimensions (one mode)",
        "its RMSE against the closed form of linear-Gaussian models is below 0.5 nat",
    ),
    "5b": Claim(
        "Appendix D's estimator is unreliable above 5 dimensions",
        "its RMSE against the closed form of linear-Gaussian models is above 0.5 nat",
    ),
    "own-a": Claim("Your method converges faster than AEVB", "the ratio of 1a"),
    "own-b": Claim(
        "Your method reaches a better bound than AEVB",
        "the difference of 1b, at the samples reached",
    ),
    "match": Claim(
        "The published curves could be runs of ours",
        "the published value at the last common number of samples lies in the 95 % prediction "
        "interval of our seeds, widened by the error of reading the figure; it must be narrower "
        "than ±5 % of the value to decide anything",
    ),
}
"""The claims, as they are defined here, by their keys."""


@dataclass(frozen=True)
class Judged:
    """A claim with all that was found of it.

    Attributes
    ----------
    key
        Of `CLAIMS`.
    statement
        What is claimed; a claim about methods of the user's own names one.
    findings
        In every place; empty where there is no evidence.
    """

    key: str
    statement: str
    findings: list[Finding]

    @property
    def verdict(self) -> Verdict:
        """Of all places together."""
        return overall(self.findings)


def judged(findings: Sequence[Finding]) -> list[Judged]:
    """Every claim in order; those about methods of the user's own once for each method."""
    found = []
    for key, about in CLAIMS.items():
        mine = [finding for finding in findings if finding.claim == key]
        methods = list(dict.fromkeys(one.method for one in mine if one.method))
        for method in methods:
            statement = about.statement.replace("Your method", algorithm_name(method))
            theirs = [finding for finding in mine if finding.method == method]
            found.append(Judged(key, statement, theirs))
        if not methods and not key.startswith("own-"):
            found.append(Judged(key, about.statement, mine))
    return found


def check_all(evidence: Evidence) -> list[Finding]:
    """Return every finding that the evidence allows, in the order of the claims."""
    checks: list[Callable[[Evidence], Iterator[Finding]]] = [
        bound_claims.converges_faster,
        bound_claims.better_bound,
        bound_claims.final_bound_does_not_fall,
        bound_claims.gap_does_not_grow,
        likelihood_claims.beats_wake_sleep,
        likelihood_claims.mcem_is_competitive,
        likelihood_claims.mcem_is_far_behind,
        estimator_claims.bound_varies_little,
        estimator_claims.hmc_kde_is_good_then_unreliable,
        bound_claims.own_methods,
        match.published_could_be_ours,
    ]
    found = [finding for check in checks for finding in check(evidence)]
    order = list(CLAIMS)
    return sorted(found, key=lambda finding: order.index(finding.claim))

"""Published claims checked against runs: the public import path of what `strideflax.analysis.published` does.

::

    from strideflax import claims, results
    claims.check_claims(results.shipped("ablation_cifar10"))
"""

from strideflax.analysis.published import CLAIMS, SETTING, Claim, check_claims

__all__ = ["CLAIMS", "SETTING", "Claim", "check_claims"]

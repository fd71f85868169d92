"""`shippyard migration`: what an author of revisions needs, without a daemon."""

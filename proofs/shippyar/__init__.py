"""The rows of `make proof-schema`, one file per topic."""

"""Proofs: what the product claims, run for real and measured. Each module is one `make proof-*`."""

"""Proofs of telling people: once, in time, with the cause, and taken back when it is over."""

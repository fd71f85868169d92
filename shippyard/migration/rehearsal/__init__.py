"""Owns rehearsals: a plan run up, down and up again in a sandbox, and what was found out."""

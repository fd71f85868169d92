"""The rows of `make proof-migrations`: each file proves one part of the gate. Owns nothing else."""

"""Copies off the machine: uploaded in parts, read back, encrypted when asked."""

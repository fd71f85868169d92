"""Production-like volume: as much invented life as is asked for, the same for the same seed."""

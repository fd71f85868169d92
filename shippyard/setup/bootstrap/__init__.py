"""Databases, roles and rights of a server: as config wants them, as they are, the difference."""

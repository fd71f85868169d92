"""Scratch clusters that can reach nothing: where backups are restored and plans rehearsed."""

"""Owns recording what a migration does to a sandbox: locks, rewrites, scans, statements, disk.

Sees what happens on the server, whatever sent it. Knows nothing of revisions but their names, and
decides nothing about what it saw. The server must be one that may be thrown away.
"""

from shippyard.migration.recording.recorder import Recording, record
from shippyard.migration.recording.watching import RecordingFailed

__all__ = ["Recording", "RecordingFailed", "record"]

"""What keeps backups, joined. `joined.join` is the way in."""

"""Taking backups, proving that they can be read, keeping the right ones."""

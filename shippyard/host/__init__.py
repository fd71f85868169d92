"""What the machine gives: clock, processes, files, systemd, credentials. Knows no PostgreSQL."""

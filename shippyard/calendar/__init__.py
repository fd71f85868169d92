"""When recurring work is due, what was missed, and running it. Knows no domain and no database."""

"""The claims about knowing the database: each file owns a few rows."""

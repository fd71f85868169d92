"""Health: questions in SQL asked on a cadence; samples for `/metrics`, findings for alerting."""

"""What the daemon says of itself: metrics, HTTP, logs, errors. Knows no domain's decisions."""

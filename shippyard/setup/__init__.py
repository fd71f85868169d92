"""Making things ready: seeds, the demo. Sits above the domains and below the commands."""

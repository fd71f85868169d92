"""What Shippyard's work costs beside the commands that others run for it. See README.md."""

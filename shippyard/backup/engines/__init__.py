"""What makes and decodes artifacts: one file per tool."""

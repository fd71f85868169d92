"""What makes and decodes artifacts: one file per tool. `choice` says which one makes what."""

"""WAL: received, kept, scanned for gaps, shipped, fetched."""

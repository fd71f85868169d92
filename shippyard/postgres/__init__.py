"""PostgreSQL itself: sessions, client tools by version, an embedded cluster. Knows no domain."""

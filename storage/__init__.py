"""PostgreSQL: the embedded server, migrations, fenced commits, cluster ownership, sealing, and the in-memory twins."""

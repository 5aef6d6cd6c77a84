"""Identity: users, projects, keys, tokens, signatures. Knows nothing of streams."""

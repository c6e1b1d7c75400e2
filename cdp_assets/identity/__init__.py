"""Which records are the same person: clusters, stable ids, decisions and the change gate."""

"""What is done with published profiles: lookups, today. It reads and never writes them."""

"""What the platform survives: the catalogue of faults, the kills, and what shows each of them."""

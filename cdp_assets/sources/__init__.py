"""Source extracts: landing objects become raw tables; broken records go to quarantine."""

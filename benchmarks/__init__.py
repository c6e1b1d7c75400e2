"""Commands that print ratios. Nothing here is a test: a loaded machine may be slow and right."""

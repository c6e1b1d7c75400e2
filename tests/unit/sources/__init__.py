"""The extraction engine, part by part and as a whole."""

"""The back ends: one interface and one class per back end, chosen in build.py."""

"""The back ends behind their interfaces."""

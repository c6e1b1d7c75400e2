"""A believable sample company in the wire formats of the six channels."""

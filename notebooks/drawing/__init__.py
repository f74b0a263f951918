"""What the notebooks and the documentation draw: test patterns, operators' responses to them, panels of figures."""

"""The pages on which an operator confirms a verb: consequences first, then the reason, then the button."""

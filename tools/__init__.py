"""What authors run: the notebook builder and the claims page."""

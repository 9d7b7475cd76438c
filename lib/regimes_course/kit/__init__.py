"""What lessons are made with: checks, widgets, figures, the ledger of claims, the parts of a page."""

"""The widgets of lesson 00."""

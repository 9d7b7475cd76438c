"""The widgets of lesson 09."""

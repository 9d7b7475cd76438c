"""The widgets of lesson 03."""

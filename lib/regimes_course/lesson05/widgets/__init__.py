"""The widgets of lesson 05."""

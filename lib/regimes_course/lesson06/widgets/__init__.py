"""The widgets of lesson 06."""

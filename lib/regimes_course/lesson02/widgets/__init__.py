"""The widgets of lesson 02."""

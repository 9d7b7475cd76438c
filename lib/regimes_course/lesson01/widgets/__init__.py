"""The widgets of lesson 01."""

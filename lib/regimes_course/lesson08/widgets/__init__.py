"""The widgets of lesson 08."""

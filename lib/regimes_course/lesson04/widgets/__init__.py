"""The widgets of lesson 04."""

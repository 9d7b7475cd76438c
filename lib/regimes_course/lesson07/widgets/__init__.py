"""The widgets of lesson 07."""

"""Lesson 00: everything of it that is not prose."""

"""Lesson 10, the capstones: exercises without a lesson, whose checks measure what an own method does."""

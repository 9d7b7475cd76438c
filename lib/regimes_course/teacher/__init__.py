"""What `course.py` does for a teacher: grade submissions. A score never comes out of the process that runs a student's code."""

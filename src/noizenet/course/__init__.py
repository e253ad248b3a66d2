"""Beside the rungs: the theory in NumPy, from the perceptron to the LSTM's four gates, one lesson a file.

Nothing else in the package imports the course, and the course imports nothing of the package: every lesson can be
read, copied and run alone. That its numbers are right is shown in ``tests/test_course.py``, against ``torch`` and
against finite differences. Lessons build on one another in the order of their numbers.
"""

LESSONS = {
    1: "perceptron",
    2: "layers",
    3: "descent",
    4: "activations",
    5: "feedforward",
    6: "errors",
    7: "backprop",
    8: "rnn",
    9: "vanishing",
    10: "lstm",
    11: "sound",
    12: "generating",
}
"""Number → the lesson's module."""

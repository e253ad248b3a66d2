"""The course: the theory in NumPy, from the perceptron to the LSTM's gates, one lesson per file.

It is separate from the rungs. Only the figures import it, and it imports nothing else of the package.
``tests/test_course.py`` checks its results against ``torch`` and against finite differences. Lessons build on one
another in the order of their numbers.
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

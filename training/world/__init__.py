"""Pictures drawn with exact ground truth: demo album, training data and test set in one."""

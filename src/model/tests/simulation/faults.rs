//! Random stories: faults, people and restarts at random, and only the laws are asserted.

"""Measuring: suites, reports, results; ``storyworld`` makes and judges the embedded bundle."""

"""What the correction costs, as a study: variants beside one another, sweeps, predictions, floors, and a report."""

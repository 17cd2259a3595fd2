"""Jobs and their events in a database that API and workers share."""
